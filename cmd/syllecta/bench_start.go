package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	benchTenant = "bench"
	// maxBenchTenants bounds the search for a tenant that has room for another key: revoked ones count.
	maxBenchTenants = 100
	// tidyTimeout bounds the revoking of the key, also after an interruption.
	tidyTimeout = 10 * time.Second
)

var errNoBenchKey = errors.New("no API key: give one in SYLLECTA_API_KEY or --api-key-file, or an admin token, " +
	"which makes one, with --admin-token-file or SYLLECTA_ADMIN_TOKEN_FILE")

// bench does the verb's work.
func (f *benchFlags) bench(ctx context.Context) (err error) {
	operator, err := f.operator(ctx)
	if err != nil {
		return err
	}
	key, revoke, err := f.credentials(ctx, operator)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, revoke()) }()
	run, err := f.newRun(ctx, operator, key)
	if err != nil {
		return err
	}
	result, err := run.measure(ctx)
	if err != nil {
		return err
	}
	return f.report(result)
}

// operator is the admin, at the first of the servers that can be reached; nil if there is no admin token.
func (f *benchFlags) operator(ctx context.Context) (*admin, error) {
	token, err := f.token()
	if errors.Is(err, errNoAdminToken) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for servers := f.addresses(); ; servers = servers[1:] {
		c, err := f.client(servers[0], token)
		if err != nil {
			return nil, err
		}
		a := &admin{c}
		if len(servers) == 1 {
			return a, nil // if it cannot be reached either, its first use tells
		}
		if _, err := a.status(ctx); exitCode(err) != exitUnreachable {
			return a, nil
		}
	}
}

// credentials returns the API key to use, and what to do with it in the end.
func (f *benchFlags) credentials(ctx context.Context, operator *admin) (key string, revoke func() error, err error) {
	nothing := func() error { return nil }
	if f.apiKeyFile != "" {
		key, err = readSecret("API key", f.apiKeyFile)
		return key, nothing, err
	}
	if key = f.t.env("SYLLECTA_API_KEY"); key != "" {
		return key, nothing, nil
	}
	if operator == nil {
		return "", nil, &failure{code: exitNotAuthorised, err: errNoBenchKey}
	}
	slug, made, err := makeBenchKey(ctx, *operator)
	if err != nil {
		return "", nil, fmt.Errorf("making an API key: %w", err)
	}
	return made.Secret, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTimeout)
		defer cancel()
		if _, err := operator.revokeKey(ctx, slug, made.ID); err != nil {
			return fmt.Errorf("revoking the API key %s of tenant %s: %w", made.ID, slug, err)
		}
		return nil
	}, nil
}

// makeBenchKey makes a key of the tenant bench, or if that has had as many keys as it may, of bench-2 and so on.
func makeBenchKey(ctx context.Context, a admin) (slug string, made newAPIKey, err error) {
	for i := 1; i <= maxBenchTenants; i++ {
		slug = benchTenant
		if i > 1 {
			slug = fmt.Sprintf("%s-%d", benchTenant, i)
		}
		if _, err = a.createTenant(ctx, tenantSpec{Slug: slug, Name: "syllecta bench"}); err != nil && codeOf(err) != "conflict" {
			return slug, made, err
		}
		if made, err = a.createKey(ctx, slug, keySpec{Name: "syllecta bench"}); codeOf(err) != "limit_reached" {
			return slug, made, err
		}
	}
	return slug, made, err
}

// codeOf is the code of a problem, "" of anything else.
func codeOf(err error) string {
	var p *problem
	if !errors.As(err, &p) {
		return ""
	}
	return p.Code
}

// newRun finds out who the members are and who leads.
func (f *benchFlags) newRun(ctx context.Context, operator *admin, key string) (*benchRun, error) {
	l := &leadership{}
	var c *client
	for _, address := range f.addresses() {
		var err error
		if c, err = f.client(address, key); err != nil {
			return nil, err
		}
		l.members = append(l.members, newEndpoint(c.base))
	}
	servers := &benchServers{nodes: slices.Clone(l.members), http: c.http}
	if operator != nil {
		told, err := operator.endpoints(ctx)
		if err != nil {
			return nil, err
		}
		if len(told) > 0 {
			servers.nodes = told
		}
		for _, e := range told {
			if _, err := l.member(e.url); err != nil {
				l.members = append(l.members, e)
			}
		}
	}
	w, err := newWorkload(f.options)
	if err != nil {
		return nil, err
	}
	l.probe = prober(c, l, f.options.scope)
	if err := l.start(ctx); err != nil {
		return nil, err
	}
	d := dialling{leadership: l, tls: c.tlsConfig(), key: key, timeout: f.options.timeout}
	return newBenchRun(f.t, w, d, servers), nil
}

// endpoints are the addresses that the members advertise.
func (a *admin) endpoints(ctx context.Context) (all []*endpoint, err error) {
	var view struct {
		Nodes []struct {
			HTTPURL string `json:"httpUrl"` // "" of a member that was never seen
		} `json:"nodes"`
	}
	if err := a.call(ctx, http.MethodGet, "/v1/admin/cluster", nil, &view); err != nil {
		return nil, fmt.Errorf("asking for the members: %w", err)
	}
	for _, n := range view.Nodes {
		u, err := url.Parse(n.HTTPURL)
		if err != nil || u.Host == "" {
			continue
		}
		all = append(all, newEndpoint(u))
	}
	return all, nil
}

// report prints the result. A load of which nothing was answered is a failure.
func (f *benchFlags) report(r *benchResult) error {
	var err error
	if f.json {
		err = f.t.printJSON(r)
	} else {
		_, err = fmt.Fprint(f.t.out, f.t.resultText(r))
	}
	if err == nil && r.Requests == 0 {
		err = errors.New("no request was answered without error")
	}
	return err
}
