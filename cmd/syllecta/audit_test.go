package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/fsm"
)

// auditStart is when the entries of the tests were made, a second apart.
var auditStart = time.Date(2026, time.November, 29, 12, 0, 0, 250_000_000, time.UTC)

// testAudit returns the first entries of an audit log, chained.
func testAudit(t *testing.T, n int) []auditEntry {
	t.Helper()
	var previous [32]byte
	entries := make([]auditEntry, n)
	for i := range entries {
		e := auditEntry{
			Seq: uint64(i) + 1, Index: uint64(10 * (i + 1)), At: auditStart.Add(time.Duration(i) * time.Second),
			Actor: "admin", Role: "admin", RequestID: "req_1", Address: "127.0.0.1", Action: "tenant.update", Target: "ten_1",
			Changes: []auditChange{{"name", "A", "The \"Shop\", Ä"}, {"plan", "unlimited", "starter"}, {"note", "x", ""}},
		}
		if i == 0 {
			e.Actor, e.Role, e.RequestID, e.Address = "cluster", "cluster", "", ""
			e.Action, e.Target, e.Changes = "member.admit", "node1", []auditChange{{"diskId", "", "d1"}}
		}
		entries[i] = e
		previous = rehash(t, &entries[i], previous)
	}
	return entries
}

// rehash gives an entry the hash that it should have.
func rehash(t *testing.T, e *auditEntry, previous [32]byte) [32]byte {
	t.Helper()
	kept := fsm.AuditEntry{Seq: e.Seq, Index: e.Index, AtMs: e.At.UnixMilli(), Action: e.Action, Target: e.Target,
		By: fsm.Actor{Name: e.Actor, Role: e.Role, RequestID: e.RequestID, Address: e.Address}}
	for _, c := range e.Changes {
		kept.Changes = append(kept.Changes, fsm.AuditChange{Member: c.Member, Before: c.Before, After: c.After})
	}
	hash, err := kept.ChainHash(previous)
	if err != nil {
		t.Fatal(err)
	}
	e.Hash = auditHash(hash).String()
	return hash
}

// auditAnswer is a page of the log as a node answers it.
func auditAnswer(t *testing.T, entries []auditEntry, total int, next uint64) string {
	t.Helper()
	page := map[string]any{"entries": orEmpty(entries), "total": total}
	if next > 0 {
		page["next"] = next
	}
	text, err := json.Marshal(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAuditList(t *testing.T) {
	t.Parallel()
	log := testAudit(t, 3)
	const header = "SEQ  AT                        ACTOR    ROLE     FROM       ACTION         TARGET  CHANGES\n"
	const first = "1    2026-11-29T12:00:00.250Z  cluster  cluster             member.admit   node1   diskId: d1\n"
	const second = "2    2026-11-29T12:00:01.250Z  admin    admin    127.0.0.1  tenant.update  ten_1   " +
		`name: A → "The \"Shop\", Ä", plan: unlimited → starter, note: x → none` + "\n"
	answers := map[string]string{
		"GET /v1/admin/audit?limit=100":           auditAnswer(t, log[:2], 3, 2), // a node that tells less than it was asked for
		"GET /v1/admin/audit?after=2&limit=98":    auditAnswer(t, nil, 3, 0),
		"GET /v1/admin/audit?limit=2":             auditAnswer(t, log[:2], 3, 2),
		"GET /v1/admin/audit?after=1&limit=1":     auditAnswer(t, log[1:2], 2, 0),
		"GET /v1/admin/audit?after=7&limit=100":   auditAnswer(t, nil, 3, 0),
		"GET /v1/admin/audit?after=8&limit=100":   auditAnswer(t, log[:1], 3, 0),
		"GET /v1/admin/audit?after=9&limit=100":   refusal(403, "forbidden"),
		"GET /v1/admin/audit?after=55&limit=1000": auditAnswer(t, nil, 3, 1),
	}
	var texts []string
	for _, e := range log {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	for _, c := range []verbCase{
		{"audit list", []string{"GET /v1/admin/audit?limit=100", "GET /v1/admin/audit?after=2&limit=98"},
			header + first + second, "", exitOK},
		{"audit list --limit 2", []string{"GET /v1/admin/audit?limit=2"}, header + first + second,
			"note: there are 3 entries in all; go on with: syllecta audit list --after 2", exitOK},
		{"audit list --limit 2 --json", []string{"GET /v1/admin/audit?limit=2"},
			`{"entries":[` + texts[0] + `,` + texts[1] + `],"total":3,"next":2}` + "\n", "", exitOK},
		{"audit list --after 1 --limit 1 --json", []string{"GET /v1/admin/audit?after=1&limit=1"},
			`{"entries":[` + texts[1] + `],"total":2}` + "\n", "", exitOK},
		{"audit list --after 7 --json", []string{"GET /v1/admin/audit?after=7&limit=100"},
			`{"entries":[],"total":3}` + "\n", "", exitOK},
		{"audit list --after 8", []string{"GET /v1/admin/audit?after=8&limit=100"}, "",
			"entry 1 of the audit log was told after entry 8", exitFailure},
		{"audit list --after 9", []string{"GET /v1/admin/audit?after=9&limit=100"}, "", "it cannot be (forbidden)", exitNotAuthorised},
		{"audit list --after 55 --limit 5000", []string{"GET /v1/admin/audit?after=55&limit=1000"},
			"SEQ  AT  ACTOR  ROLE  FROM  ACTION  TARGET  CHANGES\n",
			"note: there are 3 entries in all; go on with: syllecta audit list --after 1", exitOK},

		{"audit list --limit 0", nil, "", "--limit: 0 is not allowed; it must be a whole number from 1 to 100000", exitUsage},
		{"audit list --limit 100001", nil, "",
			"--limit: 100001 is not allowed; it must be a whole number from 1 to 100000", exitUsage},
		{"audit list --after 9007199254740992", nil, "",
			"--after: 9007199254740992 is not allowed; it must be a whole number from 0 to 9007199254740991", exitUsage},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			c.check(t, answers)
		})
	}
}

// TestAuditListFollowsPages reads a log in pages as large as a node tells them.
func TestAuditListFollowsPages(t *testing.T) {
	t.Parallel()
	log := testAudit(t, 2_500)
	answers := map[string]string{
		"GET /v1/admin/audit?limit=1000":            auditAnswer(t, log[:1000], 2500, 1000),
		"GET /v1/admin/audit?after=1000&limit=1000": auditAnswer(t, log[1000:2000], 2500, 2000),
		"GET /v1/admin/audit?after=2000&limit=400":  auditAnswer(t, log[2000:2400], 2500, 2400),
		"GET /v1/admin/audit?after=2000&limit=1000": auditAnswer(t, log[2000:], 2500, 0),
	}
	api := newAdminAPI(t, answers)
	out, errText, code := runVerb(t, api.env(), "audit", "list", "--limit", "2400")
	if code != exitOK || strings.Count(out, "\n") != 2401 || !strings.HasSuffix(errText, "--after 2400\n") {
		t.Errorf("exit code %d, %d lines, %q", code, strings.Count(out, "\n"), errText)
	}
	out, errText, code = runVerb(t, api.env(), "audit", "verify")
	if code != exitOK || !strings.HasPrefix(out, "entries: 2500, ") || errText != "" {
		t.Errorf("exit code %d, %q, %q", code, out, errText)
	}
}

func TestAuditVerify(t *testing.T) {
	t.Parallel()
	log := testAudit(t, 3)
	const words = ", and every hash follows from the ones before\nlast hash: "
	last := log[2].Hash
	zeros := strings.Repeat("0", 64)
	const asked = "GET /v1/admin/audit?limit=1000"
	whole := map[string]string{asked: auditAnswer(t, log, 3, 0)}
	empty := map[string]string{asked: auditAnswer(t, nil, 0, 0)}
	const upTo, kept = "up to entry %d the log is what it was when that hash was the last\n", "audit verify --expect "
	for name, c := range map[string]struct {
		answers map[string]string
		verbCase
	}{
		"whole":       {whole, verbCase{"audit verify", []string{asked}, "entries: 3" + words + last + "\n", "", exitOK}},
		"whole, JSON": {whole, verbCase{"audit verify --json", []string{asked}, `{"entries":3,"lastHash":"` + last + `"}` + "\n", "", exitOK}},
		"empty":       {empty, verbCase{"audit verify", []string{asked}, "entries: 0" + words + zeros + "\n", "", exitOK}},
		"the last": {whole, verbCase{kept + last, []string{asked},
			"entries: 3" + words + last + "\n" + fmt.Sprintf(upTo, 3), "", exitOK}},
		"an earlier one, in capitals": {whole, verbCase{kept + strings.ToUpper(log[1].Hash), []string{asked},
			"entries: 3" + words + last + "\n" + fmt.Sprintf(upTo, 2), "", exitOK}},
		"of the empty log": {whole, verbCase{kept + zeros + " --json", []string{asked},
			`{"entries":3,"lastHash":"` + last + `","expectedAt":0}` + "\n", "", exitOK}},
		"another": {whole, verbCase{kept + strings.Repeat("a", 64), []string{asked}, "",
			"none of the 3 entries of the audit log has the hash " + strings.Repeat("a", 64) + ": it was rewritten or cut off since",
			exitFailure}},
		"no hash": {whole, verbCase{kept + "abc", nil, "",
			`--expect: "abc" is not allowed; it must be a hash of 64 hexadecimal digits`, exitUsage}},
		"an empty hash": {whole, verbCase{"audit verify --expect=", nil, "",
			`--expect: "" is not allowed; it must be a hash of 64 hexadecimal digits`, exitUsage}},
		"too long": {whole, verbCase{kept + zeros + "00", nil, "", `--expect: "` + zeros + `00" is not allowed; ` +
			`it must be a hash of 64 hexadecimal digits`, exitUsage}},
		"no node": {map[string]string{asked: refusal(403, "forbidden")}, verbCase{"audit verify", []string{asked}, "",
			"it cannot be (forbidden)", exitNotAuthorised}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t, c.answers)
		})
	}
}

// TestAuditVerifyFindsTampering changes a log in each way that somebody might.
func TestAuditVerifyFindsTampering(t *testing.T) {
	t.Parallel()
	const broken = "entry 2 does not follow from the ones before"
	for name, c := range map[string]struct {
		tamper func([]auditEntry) []auditEntry
		want   string
	}{
		"index":      {func(l []auditEntry) []auditEntry { l[1].Index++; return l }, broken},
		"instant":    {func(l []auditEntry) []auditEntry { l[1].At = l[1].At.Add(time.Millisecond); return l }, broken},
		"actor":      {func(l []auditEntry) []auditEntry { l[1].Actor = "nobody"; return l }, broken},
		"role":       {func(l []auditEntry) []auditEntry { l[1].Role = "viewer"; return l }, broken},
		"request":    {func(l []auditEntry) []auditEntry { l[1].RequestID = ""; return l }, broken},
		"address":    {func(l []auditEntry) []auditEntry { l[1].Address = "10.0.0.1"; return l }, broken},
		"action":     {func(l []auditEntry) []auditEntry { l[1].Action = "tenant.create"; return l }, broken},
		"target":     {func(l []auditEntry) []auditEntry { l[1].Target = "ten_2"; return l }, broken},
		"member":     {func(l []auditEntry) []auditEntry { l[1].Changes[0].Member = "slug"; return l }, broken},
		"before":     {func(l []auditEntry) []auditEntry { l[1].Changes[0].Before = ""; return l }, broken},
		"after":      {func(l []auditEntry) []auditEntry { l[1].Changes[0].After = "B"; return l }, broken},
		"no changes": {func(l []auditEntry) []auditEntry { l[1].Changes = nil; return l }, broken},
		"hash":       {func(l []auditEntry) []auditEntry { l[1].Hash = l[0].Hash; return l }, broken},
		"no hash":    {func(l []auditEntry) []auditEntry { l[1].Hash = "x"; return l }, broken},
		"no action":  {func(l []auditEntry) []auditEntry { l[1].Action = ""; return l }, broken},
		"rewritten": {func(l []auditEntry) []auditEntry {
			l[1].Target = "ten_2"
			rehash(t, &l[1], mustHash(t, l[0].Hash)) // and the one behind it is not
			return l
		}, "entry 3 does not follow from the ones before"},
		"removed":    {func(l []auditEntry) []auditEntry { return slices.Delete(l, 1, 2) }, "entry 2 is missing"},
		"no first":   {func(l []auditEntry) []auditEntry { return l[1:] }, "entry 1 is missing"},
		"cut off":    {func(l []auditEntry) []auditEntry { return l[:2] }, "it has 2 entries, and the node tells of 3"},
		"renumbered": {func(l []auditEntry) []auditEntry { l[2].Seq = 2; return l[:3] }, "entry 2 of the audit log was told after entry 2"},
		"nothing":    {func([]auditEntry) []auditEntry { return nil }, "it has 0 entries, and the node tells of 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := c.tamper(testAudit(t, 3))
			api := newAdminAPI(t, map[string]string{"GET /v1/admin/audit?limit=1000": auditAnswer(t, log, 3, 0)})
			out, errText, code := runVerb(t, api.env(), "audit", "verify", "--json")
			if code != exitFailure || out != "" || !strings.Contains(errText, c.want) {
				t.Errorf("exit code %d, %q, %q; want %q", code, out, errText, c.want)
			}
		})
	}
}

func mustHash(t *testing.T, text string) [32]byte {
	t.Helper()
	hash, ok := parseAuditHash(text)
	if !ok {
		t.Fatalf("%q is no hash", text)
	}
	return hash
}

func TestAuditValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change auditChange
		want   string
	}{
		{auditChange{"slug", "", "shop"}, "slug: shop"},
		{auditChange{"slug", "shop", ""}, "slug: shop → none"},
		{auditChange{"name", "none", "a b"}, `name: "none" → "a b"`},
		{auditChange{"name", "a → b", "x"}, `name: "a → b" → x`},
		{auditChange{"at", "", "2026-11-29T12:00:00.000Z"}, "at: 2026-11-29T12:00:00.000Z"},
		{auditChange{"name", "", "a\x1b[31m"}, "name: a\uFFFD[31m"},
		{auditChange{"name", "", strings.Repeat("x", 1000)}, "name: " + strings.Repeat("x", maxShownBytes) + "…"},
		{auditChange{"name", "", ""}, `name: ""`},
	} {
		if got := c.change.String(); got != c.want {
			t.Errorf("%+v: got %s, want %s", c.change, got, c.want)
		}
	}
}
