package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/syllecta/syllecta/api/envelope"
	"github.com/syllecta/syllecta/fsm"
)

const (
	sourceIDPrefix = "src_"
	secretIDPrefix = "sec_"

	// signingSecretPrefix and signingKeyBytes make a secret of Standard Webhooks: the prefix, and the key in base64.
	signingSecretPrefix = "whsec_"
	signingKeyBytes     = 32

	// maxSecretBytes leaves room below fsm.MaxSealedSecretBytes for what sealing adds.
	maxSecretBytes = 2 << 10
	hintChars      = 4
)

// secretPurpose and signingPurpose are what a source's secrets are bound to, so that none can be put in another's place.
func secretPurpose(sourceID string) string  { return "source/" + sourceID + "/secret" }
func signingPurpose(sourceID string) string { return "source/" + sourceID + "/signing" }

func newSigningSecret() string {
	key := make([]byte, signingKeyBytes)
	rand.Read(key) // never fails
	return signingSecretPrefix + base64.StdEncoding.EncodeToString(key)
}

func sealSecret(key *envelope.DataKey, sourceID, id, secret string) fsm.SourceSecret {
	return fsm.SourceSecret{
		PublicID: id, Sealed: key.Seal(secretPurpose(sourceID), []byte(secret)), Hint: secretHint(secret),
	}
}

// secretHint is the end of a secret, if that is a small part of it.
func secretHint(secret string) string {
	chars := []rune(secret)
	if len(chars) < 4*hintChars || !utf8.ValidString(secret) {
		return ""
	}
	return string(chars[len(chars)-hintChars:])
}

// sealNewSource gives a new source its secrets, encrypted, and returns the one that it signs with; "" if the answer is
// written.
func (x *exchange) sealNewSource(ctx context.Context, t *fsm.Tenant, src *fsm.Source, secrets []string) string {
	if x.node.Directory().SourceNamed(t.ID, src.Provider, src.Name) != nil {
		x.refuse(problemOfSource(&fsm.Result{Outcome: fsm.Conflict})) // before the tenant is given a key for nothing
		return ""
	}
	key := x.dataKeyOrNew(ctx, t)
	if key == nil {
		return ""
	}
	for _, secret := range secrets {
		src.Secrets = append(src.Secrets, sealSecret(key, src.PublicID, newPublicID(secretIDPrefix), secret))
	}
	signingSecret := newSigningSecret()
	src.SigningSecret = key.Seal(signingPurpose(src.PublicID), []byte(signingSecret))
	return signingSecret
}

// dataKeyOrNew returns the tenant's data key, which is made if there is none. If it is nil, the answer is written.
func (x *exchange) dataKeyOrNew(ctx context.Context, t *fsm.Tenant) *envelope.DataKey {
	if t.DataKey == "" {
		wrapped, err := x.s.cfg.Vault.NewDataKey(t.PublicID)
		if err != nil {
			x.refuse(x.problemOfVault(err))
			return nil
		}
		// If another key was there first, that one stays, and is in the result.
		r := x.change(ctx, fsm.PutDataKey{Tenant: t.ID, Wrapped: wrapped}, fsm.OK, problemOfTenant)
		if r == nil {
			return nil
		}
		t = r.Tenant
	}
	key, p := x.dataKey(t)
	if p != nil {
		x.refuse(p)
		return nil
	}
	return key
}

// dataKey returns the data key of a tenant that has one.
func (x *exchange) dataKey(t *fsm.Tenant) (*envelope.DataKey, *problem) {
	key, err := x.s.cfg.Vault.DataKey(t.PublicID, []byte(t.DataKey))
	if err != nil {
		return nil, x.problemOfVault(err)
	}
	return key, nil
}

// openSecrets returns a source's secrets as they were given.
func (x *exchange) openSecrets(t *fsm.Tenant, s *fsm.Source) ([]string, *problem) {
	key, p := x.dataKey(t)
	if p != nil {
		return nil, p
	}
	secrets := make([]string, len(s.Secrets))
	for i, kept := range s.Secrets {
		plain, err := key.Open(secretPurpose(s.PublicID), kept.Sealed)
		if err != nil {
			return nil, x.problemOfVault(fmt.Errorf("the secret %s of the source %s: %w", kept.PublicID, s.PublicID, err))
		}
		secrets[i] = string(plain)
	}
	return secrets, nil
}

// problemOfVault says why a secret can be neither kept nor read.
func (x *exchange) problemOfVault(err error) *problem {
	x.err = err
	if missing := (*envelope.MissingKEKError)(nil); errors.As(err, &missing) {
		return noKEK.problem("the tenant's secrets and payloads are encrypted under %s, which this node lacks, and no new key "+
			"replaces it: put it back into the --kek-file of every node; nothing was changed", missing.ID)
	}
	if errors.Is(err, envelope.ErrNoKEK) {
		return noKEK.problem("secrets are kept encrypted, and this node lacks the key for it: make one with syllecta kek " +
			"generate, give it to every node and start them with --kek-file; nothing was changed")
	}
	return internalError.problem("a secret cannot be decrypted; the node's log tells more")
}
