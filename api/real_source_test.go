package api

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syllecta/syllecta/fsm"
)

// TestSecretsOnARealNode has secrets kept through raft, and looks for them in the data directory and in a backup.
func TestSecretsOnARealNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNodeIn(t, dir)
	vault := keyedVault(t)
	s := newTestServer(t, nil, func(c *Config) { c.Vault = vault })
	s.Attach(n)
	c, _ := newClient(t, s)
	waitFor(t, "the feature level", func() bool { return n.Directory().FeatureLevel >= fsm.LevelWebhooks })

	status, body := c.do("POST", sourcesPath, `{"provider":"stripe","secrets":["`+stripeKey+`"]}`, c.key)
	_, signing, made := strings.Cut(body, `"signingSecret":"whsec_`)
	if status != 201 || !made {
		t.Fatalf("%d %s", status, body)
	}
	signing = strings.TrimSuffix(signing, `"}`)
	_, id, _ := strings.Cut(body, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	status, body = c.do("POST", "/v1/admin/tenants/acme/sources/"+id+"/secrets", `{"secret":"`+stripeKey+`2"}`, testAdminToken)
	if status != 201 {
		t.Fatalf("%d %s", status, body)
	}
	sealed := n.Directory().Sources(1)[0].SigningSecret
	status, body = c.do("POST", sourcesPath+"/"+id+"/signing-secret", `{"overlapSeconds":1}`, c.key)
	_, rolled, _ := strings.Cut(body, `"signingSecret":"whsec_`)
	if rolled = strings.TrimSuffix(rolled, `"}`); status != 200 || !strings.Contains(body, `"previousSigningSecretEndsAt"`) {
		t.Fatalf("%d %s", status, body)
	}
	waitFor(t, "the end of the previous signing secret", func() bool { return n.Directory().Sources(1)[0].Previous.Sealed == nil })
	var backup bytes.Buffer
	if _, err := n.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"the backup": backup.Bytes()}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for name, content := range files {
		found = found || bytes.Contains(content, []byte(id)) // proof that this is where to look
		for _, secret := range []string{"canary", stripeKey, signing, string(unbase64(t, signing)),
			rolled, string(unbase64(t, rolled))} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s has %q in it", name, secret)
			}
		}
	}
	if bytes.Contains(backup.Bytes(), sealed) || !bytes.Contains(backup.Bytes(), n.Directory().Sources(1)[0].SigningSecret) {
		t.Error("the backup has the previous signing secret, which has ended, or lacks the present one")
	}
	if !found {
		t.Errorf("the source %s is in none of %d files", id, len(files))
	}
}
