package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgres is one PostgreSQL server without a replica. Every transaction waits until the log is on the disk.
type postgres struct {
	maxConnections int // of a run
	initdb, server string
	user           *account // who runs it; nil is whoever runs this
}

// account is a user of this machine.
type account struct{ uid, gid int }

func (p *postgres) name() string { return "postgres" }

func (p *postgres) settings() string {
	return "one node, no replica, `fsync=on`, `synchronous_commit=on`, C locale; prepared INSERT … ON CONFLICT DO " +
		"NOTHING by pgx, a connection for each worker"
}

func (p *postgres) work(o options) []task { return tasks(o, claimWork) }

// debianPostgres is where Debian installs each version's programs.
const debianPostgres = "/usr/lib/postgresql/*/bin"

func (p *postgres) prepare(ctx context.Context, _ string) (string, error) {
	var err error
	if p.initdb, err = findProgram("initdb", debianPostgres); err != nil {
		return "", err
	}
	if p.server, err = findProgram("postgres", debianPostgres); err != nil {
		return "", err
	}
	if p.user, err = postgresUser(); err != nil {
		return "", err
	}
	return versionOf(ctx, p.server, "--version")
}

// postgresUser returns who must run the server: it refuses to be root.
func postgresUser() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return nil, err
		}
		return &account{uid, gid}, nil
	}
	return nil, errors.New("postgres must not run as root, and there is no user to run it")
}

func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// Who connects. The password is worth nothing: the server and its data are gone after the run.
const (
	postgresRole     = "bench"
	postgresPassword = "bench"
)

// spareConnections are those that the server keeps for its superuser, and ours for looking.
const spareConnections = 8

func (p *postgres) start(ctx context.Context, dir string) (system, error) {
	addresses, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "postgres")
	if err := p.initialise(ctx, dir, data); err != nil {
		return nil, err
	}
	servers, err := startServers([]plan{{
		name: "postgres-server", dir: data, path: p.server, user: p.user.credential(),
		end: syscall.SIGINT, // what it calls a fast shutdown: without waiting for clients
		args: []string{
			"-D", data, "-p", portOf(addresses[0]),
			"-c", "listen_addresses=" + loopback, "-c", "unix_socket_directories=",
			"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "full_page_writes=on",
			"-c", "max_connections=" + strconv.Itoa(p.maxConnections+spareConnections),
		},
	}})
	if err != nil {
		return nil, err
	}
	target := postgresTarget(postgresURL(addresses[0]))
	if err := awaitServing(ctx, servers, target.createTable); err != nil {
		stopAll(servers)
		return nil, err
	}
	return &claimed{servers: servers, dial: target.dial}, nil
}

// initialise makes an empty database.
func (p *postgres) initialise(ctx context.Context, dir, data string) error {
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(postgresPassword+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if p.user != nil {
		for _, path := range []string{password, data} {
			if err := os.Chown(path, p.user.uid, p.user.gid); err != nil {
				return err
			}
		}
	}
	initdb := exec.CommandContext(ctx, p.initdb, "-D", data, "-U", postgresRole, "--pwfile="+password,
		"-A", "scram-sha-256", "--no-locale", "--encoding=UTF8")
	initdb.Dir = data
	initdb.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.user.credential()}
	said, err := initdb.CombinedOutput()
	return complaint("initdb", err, said)
}

func postgresURL(address string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(postgresRole, postgresPassword), Host: address, Path: "postgres",
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// postgresTarget is the URL of a running server.
type postgresTarget string

const (
	postgresTable = `CREATE TABLE IF NOT EXISTS locks (key text PRIMARY KEY, token text NOT NULL, expires_at timestamptz NOT NULL)`
	postgresClaim = `INSERT INTO locks VALUES ($1, $2, now() + make_interval(secs => $3)) ON CONFLICT DO NOTHING`
)

func (t postgresTarget) createTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	conn, err := pgx.Connect(ctx, string(t))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, postgresTable)
	return err
}

func (t postgresTarget) dial(ctx context.Context, workers int) ([]claim, func(), error) {
	var open []*pgx.Conn
	hangUp := func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialPatience)
		defer cancel()
		for _, conn := range open {
			_ = conn.Close(closing) // nothing is in flight any more
		}
	}
	var claims []claim
	for range workers {
		conn, err := pgx.Connect(ctx, string(t))
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		open = append(open, conn)
		if _, err := conn.Prepare(ctx, "claim", postgresClaim); err != nil {
			hangUp()
			return nil, nil, err
		}
		claims = append(claims, claimPostgres(conn))
	}
	return claims, hangUp, nil
}

func claimPostgres(conn *pgx.Conn) claim {
	return func(ctx context.Context, key string) error {
		done, err := conn.Exec(ctx, "claim", key, claimValue, claimTTLSeconds)
		if err != nil {
			return err
		}
		if done.RowsAffected() != 1 {
			return errNotGranted
		}
		return nil
	}
}
