package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func testWorkload(t *testing.T, scenario string) *workload {
	t.Helper()
	l, err := newWorkload(benchOptions{
		scenario: scenario, connections: 3, keyBytes: 32, bodyBytes: 200, keys: 10, batchSize: 5, ttlSeconds: 60, scope: `s"`,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestMixedIsMixed draws many claims and counts the kinds of their keys.
func TestMixedIsMixed(t *testing.T) {
	t.Parallel()
	const draws = 10_000
	s := testWorkload(t, scenarioMixed).script(1)
	kinds := map[byte]int{}
	for range draws {
		call, text := s.next()
		var c claimed
		if err := json.Unmarshal(text, &c); err != nil || call != callClaim || len(c.Key) != 32 || c.Scope != `s"` {
			t.Fatalf("%s %s: %v", call, text, err)
		}
		kinds[c.Key[benchRunBytes]]++
	}
	for kind, want := range map[byte]int{freshKey: 70, keptKey: 25, heldKey: 5} {
		if got := kinds[kind] * 100 / draws; got < want-2 || got > want+2 {
			t.Errorf("%d %% of the keys are of kind %c, want %d", got, kind, want)
		}
	}
}

// TestNewKeysAreNew has all connections of a run make keys, and another run.
func TestNewKeysAreNew(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		l := testWorkload(t, scenarioBatch)
		for connection := range l.options.connections {
			s := l.script(connection)
			for range 100 {
				call, text := s.next()
				var c claimed
				if err := json.Unmarshal(text, &c); err != nil || call != callBatch || len(c.Records) != 5 {
					t.Fatalf("%s %s: %v", call, text, err)
				}
				for _, r := range c.Records {
					seen[r.Key] = true
				}
			}
		}
	}
	if len(seen) != 2*3*100*5 {
		t.Errorf("got %d keys, want %d", len(seen), 2*3*100*5)
	}
}

// TestTwoStepsGoTogether walks a claim and what follows it.
func TestTwoStepsGoTogether(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("0f", tokenBytes/2)
	s := testWorkload(t, scenarioComplete).script(0)
	var keys []string
	step := func(want benchCall, o benchOutcome, answer string) claimed {
		t.Helper()
		call, text := s.next()
		var c claimed
		if err := json.Unmarshal(text, &c); err != nil || call != want {
			t.Fatalf("got %s %s: %v, want a %s", call, text, err, want)
		}
		keys = append(keys, c.Key)
		s.answered(o, []byte(answer))
		return c
	}
	step(callClaim, outcomeLocked, `{"cached":false,"locked":true,"token":"`+token+`","fence":1}`)
	if c := step(callPut, outcomeStored, `{"ok":true}`); c.Token != token || len(c.Body) != 200 || keys[0] != keys[1] {
		t.Errorf("the PUT after the claim of %s is %+v", keys[0], c)
	}
	step(callClaim, outcomeFailed, "")                                          // an answer that was lost
	step(callClaim, outcomeLocked, `{"cached":false,"locked":true,"token":"0f`) // cut short
	step(callClaim, outcomeInProgress, `{"cached":false,"locked":false}`)
	step(callClaim, outcomeLocked, `{"cached":false,"locked":true,"token":"`+token+`"}`)
	step(callPut, outcomeFailed, "")
	step(callClaim, outcomeLocked, "{}")
	if want := keys[0]; keys[2] == want || keys[5] != keys[6] || keys[7] == keys[6] {
		t.Errorf("got the keys %q", keys)
	}
}
