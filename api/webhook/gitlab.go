package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

const gitlabTokenHeader = "X-Gitlab-Token"

// verifyGitLab takes the two things that GitLab can be given: a signing token (whsec_…), by which requests are signed
// as in Standard Webhooks, and a secret token, which comes along as it is and signs nothing. A secret is one or the
// other by its prefix: a signing token is never accepted as the header's plain value.
func verifyGitLab(s Source, r Request) (int, error) {
	matched := noSecret
	if r.has(standardHMAC.header) {
		signed := *standardHMAC
		signed.key = gitlabKey
		matched = signed.verify(s, r)
	}
	if plain := verifyGitLabToken(s, r); plain != noSecret {
		matched = plain
	}
	return verdict(matched)
}

func gitlabKey(secret string) ([]byte, error) {
	if !strings.HasPrefix(secret, symmetricPrefix) {
		return nil, errNotBase64Key
	}
	return base64Key(secret)
}

func verifyGitLabToken(s Source, r Request) int {
	sent := sha256.Sum256([]byte(r.header(gitlabTokenHeader))) // of one length, which tells nothing of the secret's
	matched := noSecret
	for i, secret := range s.Secrets {
		if strings.HasPrefix(secret, symmetricPrefix) {
			continue
		}
		want := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(sent[:], want[:]) == 1 {
			matched = i
		}
	}
	return matched
}

func checkGitLabSecret(_ Source, secret string) error {
	if !strings.HasPrefix(secret, symmetricPrefix) {
		return nil
	}
	_, err := base64Key(secret)
	return err
}

// readGitLab takes the signed id, then the key that stays the same over retries (GitLab 17.4 and later), then the id of
// what happened together with the body, for it is shared by all webhooks that it concerns.
func readGitLab(_ Source, r Request, _ int) (Receipt, error) {
	o, err := parseObject(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	payload, err := parseValue(r.Body)
	if err != nil {
		return Receipt{}, err
	}
	e := Event{ID: firstHeader(r, standardHMAC.idHeader, "Idempotency-Key"), RawType: o.text("object_kind"), Payload: payload}
	if event := r.header("X-Gitlab-Event-UUID"); e.ID == "" && event != "" {
		e.ID = compositeID(event, contentID(r.Body))
	}
	if e.RawType == "" {
		e.RawType = o.text("event_name")
	}
	return oneEvent(e), nil
}
