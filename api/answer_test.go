package api

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// at is an instant whose milliseconds end in a zero, which must be shown.
var at = time.Date(2026, 11, 23, 1, 2, 3, 40_000_000, time.UTC).UnixMilli()

func testRecord(fingerprint string) fsm.Record {
	return fsm.Record{
		Status: 200, Headers: []byte(`{"A":"b"}`), Body: []byte(`{"n": 1.0}`), Fingerprint: fingerprint,
		CreatedAtMs: at, ExpiresAtMs: at + 86_400_000,
	}
}

const (
	recordText = `{"status":200,"headers":{"A":"b"},"body":{"n": 1.0},` +
		`"createdAt":"2026-11-23T01:02:03.040Z","expiresAt":"2026-11-24T01:02:03.040Z"}`
	recordTextFingerprint = `{"status":200,"headers":{"A":"b"},"body":{"n": 1.0},` +
		`"createdAt":"2026-11-23T01:02:03.040Z","expiresAt":"2026-11-24T01:02:03.040Z","fingerprint":"f\"é"}`
)

func TestAppendClaim(t *testing.T) {
	t.Parallel()
	grant := fsm.Result{Outcome: fsm.Granted, Token: testToken, Fence: 1<<40 + 7, LeaseMs: 60_000}
	held := fsm.Result{Outcome: fsm.InProgress, RetryAfterMs: 1500, LeaseRemainingMs: 42_000}
	endless := fsm.Result{Outcome: fsm.InProgress, RetryAfterMs: 1500, LeaseRemainingMs: fsm.NeverMs}
	with := func(r fsm.Result) fsm.Result { r.Fingerprint = `f"é`; return r }
	for _, tt := range []struct {
		result fsm.Result
		want   string
	}{
		{grant, `{"cached":false,"locked":true,"token":"` + testTokenText + `","fence":1099511627783,"leaseMs":60000}`},
		{with(grant), `{"cached":false,"locked":true,"token":"` + testTokenText +
			`","fence":1099511627783,"leaseMs":60000,"fingerprint":"f\"é"}`},
		{held, `{"cached":false,"locked":false,"retryAfterMs":1500,"leaseRemainingMs":42000}`},
		{endless, `{"cached":false,"locked":false,"retryAfterMs":1500}`},
		{with(held), `{"cached":false,"locked":false,"retryAfterMs":1500,"leaseRemainingMs":42000,"fingerprint":"f\"é"}`},
		{fsm.Result{Outcome: fsm.Cached, Record: testRecord("")}, `{"cached":true,"record":` + recordText + `}`},
		{fsm.Result{Outcome: fsm.Cached, Record: testRecord(`f"é`)},
			`{"cached":true,"record":` + recordTextFingerprint + `}`},
		{fsm.Result{Outcome: fsm.FingerprintMismatch}, `{"type":"/docs/errors#fingerprint_mismatch",` +
			`"title":"The key was used for another request","status":422,` +
			`"detail":"the record belongs to a request with another fingerprint",` +
			`"code":"fingerprint_mismatch","requestId":"id"}`},
	} {
		got := string(appendClaim(nil, &tt.result, "id", time.UnixMilli(at)))
		if got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestAppendOtherAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want []byte }{
		{appendStored(nil, &fsm.Result{ExpiresAtMs: at}), []byte(`{"ok":true,"expiresAt":"2026-11-23T01:02:03.040Z"}`)},
		{appendRenewed(nil, &fsm.Result{LeaseMs: 60_000}), []byte(`{"ok":true,"leaseMs":60000}`)},
		{appendReleased(nil, &fsm.Result{}), []byte(`{"ok":true}`)},
		{appendDeleted(nil, &fsm.Result{Existed: true}), []byte(`{"ok":true,"existed":true}`)},
		{appendDeleted(nil, &fsm.Result{}), []byte(`{"ok":true,"existed":false}`)},
	} {
		if string(tt.got) != string(tt.want) {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
}

func TestAppendView(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		view fsm.View
		want string
	}{
		{fsm.View{}, `{"cached":false,"state":"absent"}`},
		{fsm.View{State: fsm.StateLocked, LeaseRemainingMs: 500, ExpiresAtMs: at, Fingerprint: "f"},
			`{"cached":false,"state":"locked","fingerprint":"f","leaseRemainingMs":500,"expiresAt":"2026-11-23T01:02:03.040Z"}`},
		{fsm.View{State: fsm.StateLocked}, `{"cached":false,"state":"locked"}`}, // never taken over
		{fsm.View{State: fsm.StateLapsed, ExpiresAtMs: at},
			`{"cached":false,"state":"lapsed","expiresAt":"2026-11-23T01:02:03.040Z"}`},
		{fsm.View{State: fsm.StateCompleted, Record: testRecord(""), ExpiresAtMs: at + 86_400_000},
			`{"cached":true,"record":` + recordText + `,"state":"completed","expiresAt":"2026-11-24T01:02:03.040Z"}`},
	} {
		if got := string(appendView(nil, &tt.view)); got != tt.want || !json.Valid([]byte(got)) {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}
