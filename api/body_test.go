package api

import (
	"io"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestContent(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	body := `{"scope":"s","key":"k"}`
	for _, header := range []string{
		"Content-Type: application/json", "Content-Type: application/json; charset=utf-8",
		"Content-Type: Application/JSON; Charset=\"UTF-8\"; x=y", "Content-Type: application/vnd.api+json",
		"Content-Type: application/x-www-form-urlencoded", "Content-Encoding: identity", "X: y",
	} {
		if w := call(t, s, "POST", "/v1/record", body, asTenant(key), header); w.Code != 200 {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
	for _, header := range []string{
		"Content-Type: text/plain", "Content-Type: application/json; charset=latin1", "Content-Type: application/jsonx",
		"Content-Type: multipart/form-data; boundary=x", "Content-Type: ;", "Content-Type: ", "Content-Encoding: gzip",
		"Content-Encoding: identity, gzip", "Content-Encoding: br",
	} {
		wantProblem(t, call(t, s, "POST", "/v1/record", body, asTenant(key), header), unsupportedMediaType)
	}
	two := []string{asTenant(key), "Content-Type: application/json", "Content-Type: application/json"}
	wantProblem(t, call(t, s, "POST", "/v1/record", body, two...), unsupportedMediaType)
}

// endless is a body that must not be read to its end.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	e.read += len(b)
	return len(b), nil
}

func TestRequestLimits(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	for _, rt := range s.routes() {
		if rt.limit == 0 || rt.role != roleTenant {
			continue
		}
		padded := func(size int64) string {
			body := `{"scope":"s","key":"k","token":"` + testTokenText + `","records":[{"scope":"s","key":"k"}],` +
				`"provider":"stripe","secret":"whsec_1","amount":1,"currency":"usd"}`
			if rt.method == "PATCH" || rt.path == "/v1/replays" { // which take no members they do not know
				body = `{}`
			}
			return body + strings.Repeat(" ", int(size)-len(body))
		}
		if w := call(t, s, rt.method, rt.path, padded(rt.limit), asTenant(key)); w.Code == 413 || w.Code == 400 {
			t.Errorf("%s %s at the limit: %d %s", rt.method, rt.path, w.Code, w.Body)
		}
		doc := wantProblem(t, call(t, s, rt.method, rt.path, padded(rt.limit+1), asTenant(key)), bodyTooLarge)
		if !strings.Contains(doc, `"limit":`) {
			t.Error(doc)
		}
		declared := &endless{}
		for _, length := range []int64{rt.limit + 1, -1} {
			r := httptest.NewRequest(rt.method, rt.path, io.NopCloser(declared))
			r.ContentLength = length
			r.Header.Set("Authorization", "Bearer "+key)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			wantProblem(t, w, bodyTooLarge)
			if length > 0 && declared.read != 0 {
				t.Errorf("%s %s read %d bytes of a body declared too large", rt.method, rt.path, declared.read)
			}
			if int64(declared.read) > 2*rt.limit+(64<<10) {
				t.Errorf("%s %s read %d bytes", rt.method, rt.path, declared.read)
			}
		}
	}
}

func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	n, key := newFakeNode(t, "n1")
	s := newTestServer(t, n, nil)
	target, text := "/v1/record?scope=s&key=k", "Content-Type: text/plain"
	w := call(t, s, "GET", target, "a body that means nothing", asTenant(key), text)
	wantBody(t, w, 200, `{"cached":false,"state":"absent"}`)
	big := &endless{}
	r := httptest.NewRequest("POST", "/v1/record", io.LimitReader(big, 1000))
	r.ContentLength = 1000
	w = httptest.NewRecorder()
	s.ServeHTTP(w, r)
	wantProblem(t, w, invalidAPIKey)
	if big.read != 0 {
		t.Error("the body of a caller without a key was read")
	}
}
