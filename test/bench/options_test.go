package main

import (
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	o, err := parseOptions(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.rounds != 3 || o.duration != 8*time.Second || o.warmUp != 2*time.Second ||
		!reflect.DeepEqual(o.connections, []int{64, 256, 1}) || !reflect.DeepEqual(o.work, scenarios) || !o.wants("etcd") {
		t.Errorf("defaults: %+v", o)
	}
	o, err = parseOptions(strings.Fields(
		"-rounds 1 -seconds 4 -warm-up 0 -quiet 25 -connections 1,32 -work claim,batch -only syllecta,nats -dir /d -json f"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := options{
		rounds: 1, duration: 4 * time.Second, quiet: 25, connections: []int{1, 32}, work: []string{claimWork, batchWork},
		only: []string{ourName, "nats"}, dir: "/d", json: "f",
	}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("%+v, want %+v", o, want)
	}
	if !o.wants("nats") || o.wants("etcd") || o.mostConnections() != 32 {
		t.Errorf("wants NATS %t, etcd %t, at most %d connections", o.wants("nats"), o.wants("etcd"), o.mostConnections())
	}
}

func TestOptionsRefused(t *testing.T) {
	t.Parallel()
	for args, word := range map[string]string{
		"-rounds 0":            "-rounds",
		"-rounds 101":          "-rounds",
		"-seconds 0":           "-seconds",
		"-seconds 121":         "-seconds",
		"-warm-up -1":          "-warm-up",
		"-quiet -1":            "-quiet",
		"-connections 0":       "-connections",
		"-connections 64,":     "-connections",
		"-connections 64,1025": "-connections",
		"-connections 64,64":   "-connections",
		"-work steal":          "-work",
		"-work claim,claim":    "-work",
		"-only mysql":          "-only",
		"-only baseline":       "-baseline",
		"more":                 "more",
		"-unheard-of":          "unheard-of",
	} {
		if o, err := parseOptions(strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %+v, %v; want an error about %s", args, o, err, word)
		}
	}
}

func TestPeersAreThoseThatAreWanted(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                                    "syllecta etcd nats postgres redis redis-wait",
		"-baseline b":                         "syllecta baseline etcd nats postgres redis redis-wait",
		"-only redis-wait,etcd":               "etcd redis-wait",
		"-baseline b -only baseline":          "baseline",
		"-baseline b -only syllecta,etcd":     "syllecta etcd",
		"-syllecta s -only syllecta,postgres": "syllecta postgres",
	} {
		o, err := parseOptions(strings.Fields(args), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range newPeers(o) {
			names = append(names, p.name())
			if p.settings() == "" || len(p.work(o)) == 0 {
				t.Errorf("%s has settings %q and work %v", p.name(), p.settings(), p.work(o))
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func TestBatchesFitTheQueue(t *testing.T) {
	t.Parallel()
	o := options{connections: []int{64, 256, 1}, duration: time.Second}
	var numbers []int
	for _, task := range tasks(o, batchWork) {
		numbers = append(numbers, task.Connections)
	}
	if !reflect.DeepEqual(numbers, []int{64, 1}) {
		t.Errorf("batches on %v connections", numbers)
	}
	if len(tasks(o, claimWork)) != 3 {
		t.Errorf("claims: %v", tasks(o, claimWork))
	}
}
