package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// repository is where our own command is built, seen from this module.
const repository = "../.."

// syllecta is three nodes of our own binary with their default settings.
type syllecta struct {
	label     string
	given     bool      // there is a binary already
	binary    string    // empty until built
	generator *syllecta // whose `bench` makes the load; nil is its own
}

func (s *syllecta) name() string { return s.label }

func (s *syllecta) settings() string {
	return "three nodes, defaults: authentication, limits and metrics on; by `syllecta bench` over HTTP, a connection " +
		"for each worker"
}

func (s *syllecta) work(o options) []task {
	var all []task
	for _, scenario := range o.work {
		all = append(all, tasks(o, scenario)...)
	}
	return all
}

func (s *syllecta) prepare(ctx context.Context, dir string) (string, error) {
	if s.generator != nil {
		if err := s.generator.build(ctx, dir); err != nil {
			return "", err
		}
	}
	if err := s.build(ctx, dir); err != nil {
		return "", err
	}
	version, err := versionOf(ctx, s.binary, "version")
	if err != nil || !s.given {
		return version, err
	}
	return version + ", " + s.binary, nil
}

// build builds the binary unless there is one.
func (s *syllecta) build(ctx context.Context, dir string) (err error) {
	if s.given {
		s.binary, err = filepath.Abs(s.binary)
		return err
	}
	if s.binary != "" {
		return nil
	}
	path := filepath.Join(dir, "syllecta")
	if err := goBuild(ctx, repository, "./cmd/syllecta", path); err != nil {
		return err
	}
	s.binary = path
	return nil
}

// generatorBinary is the one whose `bench` makes the load.
func (s *syllecta) generatorBinary() string {
	if s.generator != nil {
		return s.generator.binary
	}
	return s.binary
}

// ourAdminToken opens the admin API of the nodes for as long as they run.
const ourAdminToken = "bench-admin-token-0123456789"

func (s *syllecta) start(ctx context.Context, dir string) (system, error) {
	const nodes = 3
	addresses, err := freeAddresses(3 * nodes)
	if err != nil {
		return nil, err
	}
	api, raft, gossip := addresses[:nodes], addresses[nodes:2*nodes], addresses[2*nodes:]
	token := filepath.Join(dir, "admin-token")
	if err := os.WriteFile(token, []byte(ourAdminToken+"\n"), 0o600); err != nil {
		return nil, err
	}
	var plans []plan
	for i := range nodes {
		name := fmt.Sprintf("node%d", i+1)
		data := filepath.Join(dir, name)
		plans = append(plans, plan{name: name, dir: data, path: s.binary, args: []string{
			"server", "--node-id=" + name, "--data-dir=" + filepath.Join(data, "data"),
			"--http-addr=" + api[i], "--raft-addr=" + raft[i], "--gossip-addr=" + gossip[i],
			fmt.Sprintf("--bootstrap-expect=%d", nodes), "--join=" + strings.Join(raft, ","),
			"--admin-token-file=" + token,
		}})
	}
	var urls []string
	for _, address := range api {
		urls = append(urls, "http://"+address)
	}
	servers, err := startServers(plans)
	if err != nil {
		return nil, err
	}
	running := &ourCluster{servers: servers, binary: s.generatorBinary(), urls: urls}
	err = awaitServing(ctx, servers, func(ctx context.Context) error { return allReady(ctx, urls) })
	if err == nil {
		running.apiKey, err = s.createKey(ctx, urls[0], token)
	}
	if err != nil {
		stopAll(servers)
		return nil, err
	}
	return running, nil
}

// allReady is nil when every node says that it is ready to serve.
func allReady(ctx context.Context, urls []string) error {
	for _, url := range urls {
		if err := ready(ctx, url+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}

func ready(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, logTailBytes))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, said)
	}
	return nil
}

// createKey makes a tenant without a limit and an API key of it.
func (s *syllecta) createKey(ctx context.Context, url, token string) (string, error) {
	if _, err := s.admin(ctx, url, token, "tenant", "create", "bench"); err != nil {
		return "", err
	}
	said, err := s.admin(ctx, url, token, "key", "create", "--tenant=bench")
	if err != nil {
		return "", err
	}
	var key struct {
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(said, &key); err != nil {
		return "", fmt.Errorf("key create: %w", err)
	}
	if key.Secret == "" {
		return "", errors.New("key create: it printed no secret")
	}
	return key.Secret, nil
}

// admin runs one of the binary's own verbs.
func (s *syllecta) admin(ctx context.Context, url, token string, verb ...string) ([]byte, error) {
	args := append(verb, "--server="+url, "--admin-token-file="+token, "--json")
	command := exec.CommandContext(ctx, s.binary, args...)
	command.Env = plainEnvironment(os.Environ())
	said, err := command.Output()
	var last []byte
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		last = exit.Stderr
	}
	return said, complaint(strings.Join(verb[:2], " "), err, last)
}
