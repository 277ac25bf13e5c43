package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// slowNode answers claims on a connection, each after that time.
func slowNode(t *testing.T, conn net.Conn, each time.Duration) {
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return // the test has hung up
		}
		bodyOf(t, r)
		time.Sleep(each)
		answer := `{"cached":false,"locked":true}`
		if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" + answer)); err != nil {
			t.Error(err)
		}
	}
}

// slowConnection is a connection of a claim run to a slowNode.
func slowConnection(t *testing.T, each time.Duration) *connection {
	o := benchOptions{scenario: scenarioClaim, connections: 1, keyBytes: 40, bodyBytes: 2, ttlSeconds: 60, scope: "s"}
	l, err := newWorkload(o)
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	go slowNode(t, there, each)
	at := newEndpoint(&url.URL{Scheme: "http", Host: "node"})
	d := dialling{leadership: &leadership{members: []*endpoint{at}}, timeout: time.Minute}
	d.leadership.leader.Store(at)
	w := &wire{conn: here, in: bufio.NewReaderSize(here, wireBufferBytes), timeout: time.Minute, armed: time.Now()}
	return &connection{dialling: d, script: l.script(0), wire: w, at: at}
}

// TestOpenLoopCountsFromTheDueTime has ten requests due in a second, of which each takes a quarter of it: the later
// ones have waited for their turn, and that is part of their latency.
func TestOpenLoopCountsFromTheDueTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowConnection(t, 250*time.Millisecond)
		p := newOpenLoop(t.Context(), time.Now(), time.Second, 10)
		p.wait = func(d time.Duration) error { time.Sleep(d); return nil }
		var counts tally
		c.work(t.Context(), p, &counts)
		c.hangUp()
		synctest.Wait()
		// They are due at 0, 100, 200 and 300 ms, and answered at 250, 500, 750 and 1000 ms.
		h := counts.latencies[callClaim]
		var got []int64
		for _, q := range []float64{25, 50, 75, 100} {
			got = append(got, (h.ValueAtQuantile(q)+500)/1000)
		}
		if want := []int64{250, 400, 550, 700}; !slices.Equal(got, want) || h.TotalCount() != 4 {
			t.Errorf("got %d latencies, %v ms, want %v", h.TotalCount(), got, want)
		}
		if unsent, err := p.end(); unsent != 6 || err != nil {
			t.Errorf("%d requests are unsent (%v), want 6", unsent, err)
		}
	})
}

// TestClosedLoopCountsFromTheSending is the same connection without a rate.
func TestClosedLoopCountsFromTheSending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowConnection(t, 250*time.Millisecond)
		var counts tally
		c.work(t.Context(), &closedLoop{t.Context(), time.Now().Add(time.Second)}, &counts)
		c.hangUp()
		synctest.Wait()
		h := counts.latencies[callClaim]
		if h.TotalCount() != 4 || (h.Max()+500)/1000 != 250 || (h.Min()+500)/1000 != 250 {
			t.Errorf("got %d latencies from %d to %d µs", h.TotalCount(), h.Min(), h.Max())
		}
	})
}

// TestOpenLoopSharesTheSchedule has three connections take turns.
func TestOpenLoopSharesTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newOpenLoop(t.Context(), start, time.Second, 8)
		p.wait = func(d time.Duration) error { time.Sleep(d); return nil }
		dues := make(chan time.Duration, 16)
		for range 3 {
			go func() {
				for {
					due, ok := p.next(time.Now())
					if !ok {
						return
					}
					dues <- due.Sub(start)
					if now := time.Now(); now != due {
						t.Errorf("sent at %s, due at %s", now.Sub(start), due.Sub(start))
					}
					time.Sleep(300 * time.Millisecond)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		close(dues)
		want := time.Duration(0)
		for due := range dues {
			if due != want {
				t.Errorf("due after %s, want %s", due, want)
			}
			want += 125 * time.Millisecond
		}
		if unsent, err := p.end(); want != time.Second || unsent != 0 || err != nil {
			t.Errorf("%s of the schedule were sent, %d requests not, %v", want, unsent, err)
		}
	})
}

func TestLoopsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	timer, err := newExactTimer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer timer.close()
	p := newOpenLoop(ctx, time.Now(), time.Hour, 0.001)
	p.wait = timer.wait
	if _, ok := p.next(time.Now()); !ok {
		t.Error("the first request is not due at once")
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	if due, ok := p.next(time.Now()); ok {
		t.Errorf("a request is due at %s after the end", due)
	}
	if unsent, err := p.end(); unsent != 0 || err != nil {
		t.Errorf("%d requests are unsent, %v", unsent, err)
	}
	closed := &closedLoop{ctx, time.Now().Add(time.Hour)}
	if _, ok := closed.next(time.Now()); ok {
		t.Error("the closed loop goes on")
	}
}

func TestExactTimer(t *testing.T) {
	t.Parallel()
	timer, err := newExactTimer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer timer.close()
	for _, d := range []time.Duration{-time.Second, 0, time.Microsecond, 3 * time.Millisecond, 50 * time.Microsecond} {
		began := time.Now()
		if err := timer.wait(d); err != nil || time.Since(began) < d {
			t.Errorf("a wait of %s took %s: %v", d, time.Since(began), err)
		}
	}
}
