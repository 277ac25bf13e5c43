package api

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"github.com/syllecta/syllecta/api/webhook"
	"github.com/syllecta/syllecta/fsm"
)

// checkSource refuses what a new source cannot be, and puts the provider's own name in the place of an alias.
func (s *Server) checkSource(f *sourceFields) *problem {
	if f.provider == fsm.OwnProvider {
		return s.checkOwnSource(f)
	}
	provider, known := providerNamed(f.provider)
	if !known {
		return invalidField.problem("provider is none of %s, %s", strings.Join(providerNames(), ", "), fsm.OwnProvider)
	}
	f.provider = provider.Name
	if p := s.checkCallback(f.callbackURL.value); p != nil {
		return p
	}
	src := fsm.Source{Provider: f.provider, Options: f.options.value}
	if p := checkOptions(&src); p != nil {
		return p
	}
	for i, secret := range f.secrets {
		if p := checkSecret(&src, secret, fmt.Sprintf("secrets[%d]", i)); p != nil {
			return p
		}
	}
	return nil
}

// checkOwnSource refuses what the source of the cluster's own events, such as warnings before a limit, cannot be: nobody
// sends them, so there is nothing to verify.
func (s *Server) checkOwnSource(f *sourceFields) *problem {
	switch {
	case f.name != fsm.DefaultSourceName:
		return invalidField.problem("name: the source of %s is called %s", fsm.OwnProvider, fsm.DefaultSourceName)
	case len(f.secrets) > 0:
		return invalidField.problem("secrets are not taken: %s has none", fsm.OwnProvider)
	case f.options.set:
		return invalidField.problem("options are not taken: %s has none", fsm.OwnProvider)
	}
	return s.checkCallback(f.callbackURL.value)
}

// providerNamed finds a provider by its name or an alias.
func providerNamed(name string) (webhook.Provider, bool) {
	for _, p := range webhook.Providers() {
		if p.Name == name || slices.Contains(p.Aliases, name) {
			return p, true
		}
	}
	return webhook.Provider{}, false
}

func providerNames() (names []string) {
	for _, p := range webhook.Providers() {
		names = append(names, p.Name)
	}
	return names
}

// checkOptions refuses options that the provider's adapter does not take.
func checkOptions(s *fsm.Source) *problem {
	adapter, err := adapterOf(s)
	if err == nil {
		err = adapter.ValidateSettings()
	}
	if err != nil {
		return invalidField.problem("options: %s", adapterFault(err))
	}
	return nil
}

// checkSecret refuses a secret that cannot be one of the provider's. What it says about it tells nothing of it.
func checkSecret(s *fsm.Source, secret, name string) *problem {
	if p, _ := providerNamed(s.Provider); !p.NeedsSecret {
		return invalidField.problem("%s is not taken: %s has none", name, s.Provider)
	}
	adapter, err := adapterOf(s, secret)
	if err == nil {
		err = adapter.Validate()
	}
	if err != nil {
		return invalidField.problem("%s %s", name, strings.TrimPrefix(adapterFault(err), "secret 1: "))
	}
	return nil
}

// checkChangedOptions refuses options that a source's adapter does not take, or under which its secrets would be none.
func (x *exchange) checkChangedOptions(t *fsm.Tenant, s *fsm.Source) *problem {
	if p := checkOptions(s); p != nil || len(s.Secrets) == 0 {
		return p
	}
	secrets, p := x.openSecrets(t, s)
	if p != nil {
		return p
	}
	for i, secret := range secrets {
		if p := checkSecret(s, secret, "options do not fit the secret "+s.Secrets[i].PublicID+", which"); p != nil {
			return p
		}
	}
	return nil
}

// adapterOf returns a source as the adapters know it, to be checked and not to verify by.
func adapterOf(s *fsm.Source, secrets ...string) (webhook.Source, error) {
	options, err := webhook.ParseOptions(s.Options)
	if err != nil {
		return webhook.Source{}, err
	}
	src := options.Source(s.Provider, secrets)
	src.Certificates = func(string) ([]*x509.Certificate, error) { return nil, webhook.ErrUnavailable }
	return src, nil
}

// adapterFault is what an adapter says against a source, without the words before it.
func adapterFault(err error) string {
	fault := strings.TrimPrefix(err.Error(), webhook.ErrNotConfigured.Error()+": ")
	return strings.TrimPrefix(fault, "the options: ")
}
