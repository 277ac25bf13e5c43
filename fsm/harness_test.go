package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/syllecta/syllecta/snapshot"
)

// Instants and lengths that the tests share, in milliseconds.
var (
	noon2026 = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC).UnixMilli()
	leaseMs  = int64(60_000)
	ttlMs    = int64(86_400_000)
)

// journal drives a machine entry by entry and fails the test where an entry is refused.
type journal struct {
	tb    testing.TB
	m     *Machine
	index uint64
}

// newJournal starts a journal on an empty machine that has one tenant without a limit.
func newJournal(tb testing.TB) *journal {
	tb.Helper()
	j := &journal{tb: tb, m: New(testConfig())}
	j.apply(noon2026, CreateTenant{PublicID: "ten_1", Slug: "acme", Name: "Acme"})
	return j
}

// entry applies one entry of several commands.
func (j *journal) entry(stampMs int64, cmds ...Command) []Result {
	j.tb.Helper()
	j.index++
	check := expectReplay(j.m, stampMs, cmds...)
	_, results, err := j.m.Apply(j.index, 1, encodeEntry(stampMs, cmds...))
	if err != nil {
		j.tb.Fatalf("apply: %v", err)
	}
	if len(results) != len(cmds) {
		j.tb.Fatalf("%d results for %d commands", len(results), len(cmds))
	}
	if err := check(results); err != nil {
		j.tb.Errorf("claim %+v: %v", cmds[0], err)
	}
	return results
}

// apply applies one command.
func (j *journal) apply(stampMs int64, cmd Command) Result {
	j.tb.Helper()
	return j.entry(stampMs, cmd)[0]
}

// advance moves the committed clock.
func (j *journal) advance(stampMs int64) {
	j.tb.Helper()
	j.entry(stampMs)
}

func encodeEntry(stampMs int64, cmds ...Command) []byte {
	frames := make([][]byte, len(cmds))
	for i, cmd := range cmds {
		frames[i] = Encode(cmd)
	}
	return EncodeEntry(stampMs, BatchID{1, 2, 3}, frames...)
}

func recordID(key string) RecordID { return RecordID{Tenant: 1, Scope: "orders", Key: key} }

// tok returns a token that is told from others by its first byte.
func tok(n byte) Token { return Token{n, 0xA5} }

func claimBy(owner string, t Token) Claim {
	return Claim{ID: recordID("k"), Owner: owner, Token: t, LeaseMs: leaseMs, TTLMs: ttlMs}
}

func completeWith(t Token, body string) Complete {
	return Complete{
		ID: recordID("k"), Token: t, Status: 201, Headers: []byte(`{"a":"b"}`), Body: []byte(body), TTLMs: 2 * ttlMs,
	}
}

func wantResult(tb testing.TB, what string, got, want Result) {
	tb.Helper()
	if !sameResult(&got, &want) {
		tb.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

func wantView(tb testing.TB, what string, got, want View) {
	tb.Helper()
	if !sameView(&got, &want) {
		tb.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// sameResult compares every member. It is written out because the property tests call it millions of times;
// TestSameResultSeesEveryMember keeps it complete.
func sameResult(a, b *Result) bool {
	return a.Outcome == b.Outcome && a.Reentered == b.Reentered && a.Existed == b.Existed && a.Token == b.Token &&
		a.Fence == b.Fence && a.LeaseMs == b.LeaseMs && a.LeaseEndMs == b.LeaseEndMs &&
		a.LeaseRemainingMs == b.LeaseRemainingMs && a.RetryAfterMs == b.RetryAfterMs &&
		a.Fingerprint == b.Fingerprint && sameRecord(&a.Record, &b.Record) && a.ExpiresAtMs == b.ExpiresAtMs &&
		a.Limit == b.Limit && a.ResetAtMs == b.ResetAtMs && sameValueAt(a.Tenant, b.Tenant) && sameValueAt(a.Key, b.Key) &&
		sameValueAt(a.Member, b.Member) && sameValueAt(a.Plan, b.Plan) && a.Count == b.Count &&
		sameSource(a.Source, b.Source) && sameEvent(a.Event, b.Event)
}

func sameSource(a, b *Source) bool {
	return a == b || a != nil && b != nil && bytes.Equal(appendSource(nil, a), appendSource(nil, b))
}

func sameEvent(a, b *Event) bool {
	return a == b || a != nil && b != nil && bytes.Equal(appendEvent(nil, a), appendEvent(nil, b))
}

func sameView(a, b *View) bool {
	return a.State == b.State && sameRecord(&a.Record, &b.Record) && a.Fingerprint == b.Fingerprint &&
		a.LeaseRemainingMs == b.LeaseRemainingMs && a.LeaseEndMs == b.LeaseEndMs && a.ExpiresAtMs == b.ExpiresAtMs &&
		a.ChangesAtMs == b.ChangesAtMs
}

func sameRecord(a, b *Record) bool {
	return a.Status == b.Status && bytes.Equal(a.Headers, b.Headers) && bytes.Equal(a.Body, b.Body) &&
		a.Fingerprint == b.Fingerprint && a.CreatedAtMs == b.CreatedAtMs && a.ExpiresAtMs == b.ExpiresAtMs
}

func sameValueAt[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func TestSameResultSeesEveryMember(t *testing.T) {
	t.Parallel()
	eachChanged(t, func(a, b *Result) bool { return sameResult(a, b) })
	eachChanged(t, func(a, b *View) bool { return sameView(a, b) })
	eachChanged(t, func(a, b *Record) bool { return sameRecord(a, b) })
}

// eachChanged changes the members of a T one at a time and wants same to notice.
func eachChanged[T any](t *testing.T, same func(a, b *T) bool) {
	t.Helper()
	for i := range reflect.TypeFor[T]().NumField() {
		var zero, changed T
		if !same(&zero, &changed) {
			t.Fatalf("two zero %T differ", zero)
		}
		change(reflect.ValueOf(&changed).Elem().Field(i))
		if same(&zero, &changed) {
			t.Errorf("a change of %T.%s goes unnoticed", zero, reflect.TypeFor[T]().Field(i).Name)
		}
	}
}

func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint64:
		v.SetUint(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Struct:
		change(v.Field(0))
	case reflect.Array:
		change(v.Index(0))
	default:
		panic("no change for " + v.Kind().String())
	}
}

// dump writes out the whole state, so that two machines can be compared.
func dump(m *Machine) string {
	d := m.Directory()
	return fmt.Sprintf("%s\n%s%+v %q %x level %d %q", dumpRecords(m), dumpMembers(d.Members()), m.progress, d.ClusterID,
		d.KeyHashSecret, d.FeatureLevel, d.FeatureVersion)
}

// dumpAudit writes out the audit log.
func dumpAudit(m *Machine) (lines []string) {
	entries, _ := m.AuditLog(0, math.MaxInt)
	for _, e := range entries {
		lines = append(lines, fmt.Sprintf("audit %+v", e))
	}
	return lines
}

// dumpEvents writes out sources and events.
func dumpEvents(m *Machine) (lines []string) {
	for _, t := range m.Directory().Tenants() {
		for _, s := range m.Directory().Sources(t.ID) {
			lines = append(lines, fmt.Sprintf("source %x", appendSource(nil, s)))
		}
	}
	m.events.all.Ascend(func(e *Event) bool {
		lines = append(lines, fmt.Sprintf("event %s %s %x", e.ID, e.Status, appendEvent(nil, e)))
		return true
	})
	for _, t := range m.Directory().Tenants() {
		lines = append(lines, fmt.Sprintf("tenant %d has %d bytes", t.ID, m.StoredBytes(t.ID)))
	}
	return append(lines, fmt.Sprintf("last source %d", m.directory.lastSource))
}

// dumpMembers writes out members in their order.
func dumpMembers(members []*Member) string {
	var b strings.Builder
	for _, x := range members {
		fmt.Fprintf(&b, "member %+v\n", *x)
	}
	return b.String()
}

// dumpRecords writes out what can be observed of records, sorted, tenants, keys, usage, plans and the audit log. What has expired is left
// out: whether it was removed already is no part of the state.
func dumpRecords(m *Machine) string {
	var lines []string
	for _, s := range m.locks.slots {
		l := s.lock()
		if held, ok := m.held(m.hasher.key(l.key)); ok {
			held.ref = 0
			view := m.View(mustSplit(string(l.key)))
			lines = append(lines, fmt.Sprintf("lock %q %+v view %+v", l.key, held, view))
		}
	}
	for _, key := range storedKeys(m) {
		if r := m.completed(m.hasher.key([]byte(key))); r != nil {
			lines = append(lines, fmt.Sprintf("record %q %+v view %+v", key, r.decoded(), m.View(mustSplit(key))))
		}
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	for _, t := range m.Directory().Tenants() {
		month, claims := m.Usage(t.ID)
		lines = append(lines, fmt.Sprintf("tenant %+v used %d in %d", *t, claims, month))
		for _, k := range m.Directory().Keys(t.ID) {
			lines = append(lines, fmt.Sprintf("key %+v", *k))
		}
		for _, u := range m.UsageDays(t.ID, 0, math.MaxInt32) {
			lines = append(lines, fmt.Sprintf("tenant %d on day %d: %v", t.ID, u.Day, u.counts))
		}
	}
	for _, p := range m.Directory().Plans() {
		lines = append(lines, fmt.Sprintf("plan %+v", *p))
	}
	lines = append(lines, dumpAudit(m)...)
	lines = append(lines, dumpEvents(m)...)
	return strings.Join(lines, "\n")
}

// storedKeys returns the store keys of all that lies in the slabs, dead or alive.
func storedKeys(m *Machine) []string {
	var keys []string
	for _, c := range m.records.chunks {
		for offset := 0; offset < len(c.data); {
			size := int(binary.LittleEndian.Uint32(c.data[offset:]))
			keys = append(keys, string(slabRecord(c.data[offset:offset+size]).appendStoreKey(nil)))
			offset += size
		}
	}
	return keys
}

func (r slabRecord) decoded() (rec Record) {
	r.decode(&rec)
	return rec
}

// chunkCount is how many chunks hold records.
func (s *recordStore) chunkCount() int { return len(s.chunks) - 1 - len(s.free) }

// pageCount is how many pages hold locks.
func (t *lockTable) pageCount() int { return max(0, len(t.pages.pages)-1) - len(t.pages.free) }

func keyOf(m *Machine, id RecordID) storeKey { return m.hasher.key(appendStoreKey(nil, id)) }

func removeLock(m *Machine, id RecordID) {
	key := keyOf(m, id)
	m.locks.remove(key.hash, m.locks.find(key))
}

// changeLock changes a lock behind the machine's back, all but its key.
func changeLock(m *Machine, id RecordID, change func(l *lock)) {
	ref := m.locks.find(keyOf(m, id))
	l := m.locks.pages.read(ref).lock()
	change(&l)
	m.locks.pages.write(ref).set(&l)
}

func mustSplit(key string) RecordID {
	id, ok := splitStoreKey(key)
	if !ok {
		panic(fmt.Sprintf("bad store key %q", key))
	}
	return id
}

// written returns the file that a snapshot is written as.
func written(tb testing.TB, s *Snapshot) []byte {
	tb.Helper()
	var file bytes.Buffer
	w, err := snapshot.NewWriter(&file)
	if err != nil {
		tb.Fatal(err)
	}
	if err := s.Write(w); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

func restore(file []byte) (*Machine, error) {
	r, err := snapshot.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	return Restore(testConfig(), r)
}

func mustRestore(tb testing.TB, file []byte) *Machine {
	tb.Helper()
	m, err := restore(file)
	if err != nil {
		tb.Fatalf("restore: %v", err)
	}
	return m
}

func testConfig() Config { return Config{HashSeed: maphash.MakeSeed()} }
