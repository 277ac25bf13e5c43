package delivery

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/syllecta/syllecta/fsm"
)

func newTestGuard(t testing.TB, allowed ...string) *Guard {
	t.Helper()
	g, err := NewGuard(prefixes(allowed...), nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// addresses are those that a tenant could name, and whether they are a server's on the public internet.
var addresses = []struct {
	address string
	public  bool
}{
	{"1.1.1.1", true},
	{"8.8.8.8", true},
	{"93.184.216.34", true},
	{"100.63.255.255", true},
	{"100.128.0.0", true},
	{"126.255.255.255", true},
	{"128.0.0.1", true},
	{"168.63.129.15", true},
	{"168.63.129.17", true},
	{"172.15.255.255", true},
	{"172.32.0.0", true},
	{"192.0.1.1", true},
	{"198.17.255.255", true},
	{"198.20.0.0", true},
	{"223.255.255.255", true},
	{"::ffff:8.8.8.8", true},
	{"2606:4700:4700::1111", true},
	{"2a00:1450:4001:81b::200e", true},
	{"2001:200::1", true},
	{"2001:4860:4860::8888", true},
	{"3ffe::1", true},

	{"0.0.0.0", false},
	{"0.1.2.3", false},
	{"10.0.0.1", false},
	{"10.255.255.255", false},
	{"100.64.0.1", false},
	{"100.100.100.200", false}, // a cloud's metadata
	{"127.0.0.1", false},
	{"127.255.255.254", false},
	{"168.63.129.16", false}, // a cloud's host agent
	{"169.254.0.1", false},
	{"169.254.169.254", false}, // most clouds' metadata
	{"172.16.0.1", false},
	{"172.31.255.255", false},
	{"192.0.0.9", false},
	{"192.0.0.192", false}, // a cloud's metadata
	{"192.0.2.1", false},
	{"192.31.196.1", false},
	{"192.52.193.1", false},
	{"192.88.99.1", false},
	{"192.168.1.1", false},
	{"192.175.48.1", false},
	{"198.18.0.1", false},
	{"198.19.255.255", false},
	{"198.51.100.1", false},
	{"203.0.113.1", false},
	{"224.0.0.1", false},
	{"239.255.255.255", false},
	{"240.0.0.1", false},
	{"255.255.255.255", false},

	{"::", false},
	{"::1", false},
	{"::127.0.0.1", false},
	{"::ffff:127.0.0.1", false},
	{"::ffff:10.0.0.1", false},
	{"::ffff:169.254.169.254", false},
	{"::ffff:0:127.0.0.1", false},
	{"64:ff9b::7f00:1", false},
	{"64:ff9b::8.8.8.8", false},
	{"64:ff9b:1::1", false},
	{"100::1", false},
	{"1fff::1", false},
	{"2001::1", false}, // Teredo
	{"2001:1::1", false},
	{"2001:db8::1", false},
	{"2002:7f00:1::", false}, // 6to4 of 127.0.0.1
	{"2002:a9fe:a9fe::1", false},
	{"2620:4f:8000::1", false},
	{"3fff::1", false},
	{"4000::1", false},
	{"5f00::1", false},
	{"fc00::1", false},
	{"fd00:ec2::254", false}, // a cloud's metadata
	{"fe80::1", false},
	{"fe80::1%eth0", false},
	{"2606:4700::1%eth0", false},
	{"fec0::1", false},
	{"ff02::1", false},
}

func TestGuardLetsThroughWhatIsPublic(t *testing.T) {
	t.Parallel()
	g := newTestGuard(t)
	for _, a := range addresses {
		to := netip.AddrPortFrom(netip.MustParseAddr(a.address), 443)
		if err := g.check(to, true); (err == nil) != a.public {
			t.Errorf("%s: %v, want it let through: %v", to, err, a.public)
		}
		if err := g.check(to, false); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s without TLS: %v", to, err)
		}
	}
}

func TestGuardKnowsPortsAndRanges(t *testing.T) {
	t.Parallel()
	g, err := NewGuard(prefixes("127.0.0.0/8", "fd00::/8"), []uint16{443, 8443})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to            string
		secure, plain bool
	}{
		{"1.1.1.1:443", true, false},
		{"1.1.1.1:8443", true, false},
		{"1.1.1.1:80", false, false},
		{"1.1.1.1:22", false, false},
		{"127.0.0.1:1", true, true},
		{"[::ffff:127.0.0.1]:80", true, true},
		{"[::1]:443", false, false},
		{"[fd00::1]:9000", true, true},
		{"[fe80::1]:443", false, false},
		{"10.0.0.1:443", false, false},
	} {
		to := netip.MustParseAddrPort(c.to)
		if err := g.check(to, true); (err == nil) != c.secure {
			t.Errorf("%s with TLS: %v", to, err)
		}
		if err := g.check(to, false); (err == nil) != c.plain {
			t.Errorf("%s without TLS: %v", to, err)
		}
	}
}

func TestNewGuardRefusesSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allowed []netip.Prefix
		ports   []uint16
	}{
		"mapped range":    {allowed: []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
		"no range":        {allowed: []netip.Prefix{{}}},
		"too many ranges": {allowed: make([]netip.Prefix, MaxAllowedPrefixes+1)},
		"port 0":          {ports: []uint16{443, 0}},
		"too many ports":  {ports: make([]uint16, MaxPorts+1)},
	} {
		if _, err := NewGuard(c.allowed, c.ports); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// spellings are URLs that a tenant could configure. Those that no guard lets through name what is not public, or are
// read differently by different readers of URLs.
var spellings = []struct {
	url             string
	public, allowed bool // by a guard without ranges, and by one that allows 127.0.0.0/8
}{
	{"https://example.com/hooks?a=b", true, true},
	{"https://EXAMPLE.com:443", true, true},
	{"https://xn--mnchen-3ya.de/", true, true},
	{"https://a_b.example.com./x", true, true},
	{"https://1.1.1.1/", true, true},
	{"https://[2606:4700:4700::1111]/", true, true},
	{"HTTPS://example.com/", true, true},
	{"https://example.com/%23%20", true, true},
	{"https://1e100.net/", true, true},
	{"https://0x7f.example/", true, true},

	{"http://127.0.0.1:8080/", false, true},
	{"https://127.0.0.1/", false, true},
	{"https://[::ffff:127.0.0.1]/", false, true},
	{"http://localhost:3000/", false, true}, // decided when it is dialled
	{"http://example.com/", false, true},
	{"https://example.com:8443/", false, true},
	{"https://example.com:22/", false, true},
	{"http://1.1.1.1/", false, false},
	{"https://1.1.1.1:80/", false, false},

	{"", false, false},
	{"example.com", false, false},
	{"//example.com/", false, false},
	{"https:example.com", false, false},
	{"https:///path", false, false},
	{"https://:443/", false, false},
	{"ftp://example.com/", false, false},
	{"file:///etc/passwd", false, false},
	{"gopher://127.0.0.1:70/", false, false},
	{"https://user@example.com/", false, false},
	{"https://user:password@example.com/", false, false},
	{"https://evil@127.0.0.1/", false, false},
	{"https://example.com@127.0.0.1/", false, false},
	{"https://@example.com/", false, false},
	{"https://example.com/#fragment", false, false},
	{"https://example.com#@127.0.0.1/", false, false},
	{"https://example.com/#", false, false},
	{"https://example.com\\@127.0.0.1/", false, false},
	{"https:\\\\127.0.0.1\\", false, false},
	{"https://example.com:/", false, false},
	{"https://example.com:0/", false, false},
	{"https://example.com:65536/", false, false},
	{"https://example.com:443x/", false, false},
	{"https://exa mple.com/", false, false},
	{"https://example.com/a b", false, false},
	{"https://example.com/\r\nHost: x", false, false},
	{"https://example.com/\x00", false, false},
	{" https://example.com/", false, false},
	{"https://127.1/", false, false},
	{"https://2130706433/", false, false},
	{"https://0x7f000001/", false, false},
	{"https://0x7f.0.0.1/", false, false},
	{"https://0177.0.0.1/", false, false},
	{"https://127.0.0.01/", false, false},
	{"https://127.0.0.1./", false, false},
	{"https://0/", false, false},
	{"https://[::1]/", false, false},
	{"https://[::]/", false, false},
	{"https://[fe80::1%25eth0]/", false, false},
	{"https://[::1%25lo]/", false, false},
	{"https://[127.0.0.1/", false, false},
	{"https://①②⑦.⓪.⓪.①/", false, false},
	{"https://127。0。0。1/", false, false},
	{"https://ｌｏｃａｌｈｏｓｔ/", false, false},
	{"https://münchen.de/", false, false},
	{"https://exa%6dple.com/", false, false},
	{"https://%31%32%37.0.0.1/", false, false},
	{"https://example..com/", false, false},
	{"https://.example.com/", false, false},
	{"https://-example.com/", false, false},
	{"https://" + strings.Repeat("a", 64) + ".com/", false, false},
	{"https://" + strings.Repeat("a.", 127) + "com/", false, false},
	{"https://169.254.169.254/latest/meta-data/", false, false},
	{"https://168.63.129.16/", false, false},
	{"https://[64:ff9b::7f00:1]/", false, false},
	{"https://example.com/" + strings.Repeat("a", fsm.MaxURLBytes), false, false},
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	strict, lenient := newTestGuard(t), newTestGuard(t, "127.0.0.0/8")
	for _, s := range spellings {
		if err := strict.CheckURL(s.url); (err == nil) != s.public {
			t.Errorf("%.80q: %v, want it taken: %v", s.url, err, s.public)
		}
		if err := lenient.CheckURL(s.url); (err == nil) != s.allowed {
			t.Errorf("%.80q where 127.0.0.0/8 is allowed: %v, want it taken: %v", s.url, err, s.allowed)
		}
	}
}

// TestCheckURLTellsTheRule, and not which ranges the operator allows.
func TestCheckURLTellsTheRule(t *testing.T) {
	t.Parallel()
	g := newTestGuard(t, "172.30.0.0/16")
	for _, raw := range []string{"https://10.0.0.1/", "http://1.1.1.1/", "https://1.1.1.1:8443/"} {
		err := g.CheckURL(raw)
		if !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), "by https to public addresses, on the ports 443, and to the ranges of") ||
			strings.Contains(err.Error(), "172.30") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// FuzzCallbackURL looks for a URL that is taken and would not lead to where it seems to.
func FuzzCallbackURL(f *testing.F) {
	for _, s := range spellings {
		f.Add(s.url)
	}
	g := newTestGuard(f)
	f.Fuzz(func(t *testing.T, raw string) {
		if g.CheckURL(raw) != nil {
			return
		}
		u, err := parseURL(raw)
		if err != nil {
			t.Fatalf("%q is taken, and cannot be parsed: %v", raw, err)
		}
		if u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			t.Errorf("%q is taken", raw)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if a, err := netip.ParseAddr(host); err == nil {
			if !isPublic(a.Unmap()) {
				t.Errorf("%q is taken, and names %s", raw, a)
			}
			return
		}
		if last := host[strings.LastIndexByte(host, '.')+1:]; strings.Trim(last, "0123456789") == "" {
			t.Errorf("%q is taken, and its host is a number to some", raw)
		}
	})
}

// rebinding is a name server that answers with a public address at first, and with loopback from then on.
type rebinding struct{ questions atomic.Int32 }

func (r *rebinding) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		r.serve(conn)
	}()
	t.Cleanup(func() {
		_ = conn.Close() // ends serve
		<-served
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (r *rebinding) serve(conn net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			a := [4]byte{192, 0, 3, 1} // public, and nobody's: dialling it is not waited for
			if r.questions.Add(1) > 1 {
				a = [4]byte{127, 0, 0, 1}
			}
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: a},
			}}
		}
		if out, err := m.Pack(); err == nil {
			_, _ = conn.WriteTo(out, from) // a lost answer is asked for again
		}
	}
}

func TestGuardLooksAtTheAddressThatIsDialled(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	inner := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	_, port, _ := net.SplitHostPort(inner.Listener.Addr().String())
	var names rebinding
	g := newTestGuard(t)
	g.ports = []uint16{443, inner.Listener.Addr().(*net.TCPAddr).AddrPort().Port()}
	g.resolver = names.resolver(t)

	if err := g.CheckURL("https://rebind.test:443/"); err != nil {
		t.Fatal(err)
	}
	// The first answer would be let through: whoever checks a name and then dials it is deceived.
	first, err := g.resolver.LookupNetIP(t.Context(), "ip4", "rebind.test")
	if err != nil || len(first) != 1 || g.check(netip.AddrPortFrom(first[0], 443), true) != nil {
		t.Fatalf("the name server answered %v, %v", first, err)
	}
	for range 20 {
		for _, secure := range []bool{true, false} {
			conn, err := g.dialer(secure).DialContext(t.Context(), "tcp", "rebind.test:"+port)
			if !errors.Is(err, ErrNotAllowed) {
				t.Errorf("dialled: %v", err)
			}
			if err == nil {
				_ = conn.Close() // the test has failed anyway
			}
		}
	}
	if names.questions.Load() < 2 {
		t.Error("the name was not asked for again")
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("the inner server was reached %d times", n)
	}
}
