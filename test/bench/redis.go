package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redis is one Redis server that syncs its log for every write, alone or with replicas that do the same.
type redis struct {
	replicas int
	binary   string
}

func (r *redis) name() string {
	if r.replicas > 0 {
		return "redis-wait"
	}
	return "redis"
}

func (r *redis) settings() string {
	if r.replicas > 0 {
		return fmt.Sprintf("a primary and %d replicas, all with `appendfsync always`; SET NX EX and WAIT 1 in one "+
			"pipeline by go-redis, a connection for each worker", r.replicas)
	}
	return "one node, no replica, `appendfsync always`; SET NX EX by go-redis, a connection for each worker"
}

func (r *redis) work(o options) []task { return tasks(o, claimWork) }

func (r *redis) prepare(ctx context.Context, _ string) (version string, err error) {
	if r.binary, err = findProgram("redis-server"); err != nil {
		return "", err
	}
	return versionOf(ctx, r.binary, "--version")
}

func (r *redis) start(ctx context.Context, dir string) (system, error) {
	addresses, err := freeAddresses(1 + r.replicas)
	if err != nil {
		return nil, err
	}
	var plans []plan
	for i, address := range addresses {
		name := fmt.Sprintf("redis%d", i+1)
		data := filepath.Join(dir, name)
		args := []string{
			"--bind", loopback, "--port", portOf(address), "--dir", data,
			"--appendonly", "yes", "--appendfsync", "always", "--save", "",
			"--repl-diskless-sync-delay", "0", // replicas are there at once
		}
		if i > 0 {
			args = append(args, "--replicaof", loopback+" "+portOf(addresses[0]))
		}
		plans = append(plans, plan{name: name, dir: data, path: r.binary, args: args})
	}
	servers, err := startServers(plans)
	if err != nil {
		return nil, err
	}
	target := redisTarget{primary: addresses[0], replicas: r.replicas}
	if err := awaitServing(ctx, servers, target.ready); err != nil {
		stopAll(servers)
		return nil, err
	}
	return &claimed{servers: servers, dial: target.dial}, nil
}

// redisTarget is a running primary.
type redisTarget struct {
	primary  string
	replicas int
}

// client connects to the primary without retries: a claim that fails must be seen.
func (t redisTarget) client(connections int) *goredis.Client {
	return goredis.NewClient(&goredis.Options{
		Addr: t.primary, PoolSize: connections, MaxRetries: -1,
		// They concern the vendor's own service.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// ready is nil when all replicas follow.
func (t redisTarget) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	client := t.client(1)
	defer client.Close()
	said, err := client.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if online := strings.Count(said, "state=online"); online != t.replicas {
		return fmt.Errorf("%d of %d replicas are online", online, t.replicas)
	}
	return nil
}

func (t redisTarget) dial(ctx context.Context, workers int) ([]claim, func(), error) {
	client := t.client(workers)
	var open []*goredis.Conn
	hangUp := func() {
		for _, conn := range open {
			_ = conn.Close() // nothing is in flight any more
		}
		_ = client.Close()
	}
	var claims []claim
	for range workers {
		conn := client.Conn()
		open = append(open, conn)
		if err := conn.Ping(ctx).Err(); err != nil {
			hangUp()
			return nil, nil, err
		}
		if t.replicas > 0 {
			claims = append(claims, claimRedisReplicated(conn))
		} else {
			claims = append(claims, claimRedis(conn))
		}
	}
	return claims, hangUp, nil
}

const redisTTL = claimTTLSeconds * time.Second

// createOnly is SET's way to say that the key must not exist.
var createOnly = goredis.SetArgs{Mode: "NX", TTL: redisTTL}

// created tells the answer of SET NX: nothing if the key existed.
func created(answer *goredis.StatusCmd) error {
	if errors.Is(answer.Err(), goredis.Nil) {
		return errNotGranted
	}
	return answer.Err()
}

func claimRedis(conn *goredis.Conn) claim {
	return func(ctx context.Context, key string) error {
		return created(conn.SetArgs(ctx, key, claimValue, createOnly))
	}
}

// replicaPatience bounds how long the primary waits for a replica to have a claim.
const replicaPatience = time.Second

func claimRedisReplicated(conn *goredis.Conn) claim {
	return func(ctx context.Context, key string) error {
		pipe := conn.Pipeline()
		set := pipe.SetArgs(ctx, key, claimValue, createOnly)
		wait := pipe.Do(ctx, "WAIT", 1, replicaPatience.Milliseconds())
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
			return err
		}
		if err := created(set); err != nil {
			return err
		}
		confirmed, err := wait.Int()
		if err != nil {
			return fmt.Errorf("WAIT: %w", err)
		}
		if confirmed < 1 {
			return errors.New("no replica has confirmed the claim")
		}
		return nil
	}
}
