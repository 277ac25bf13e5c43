package main

import (
	"os"
	"strings"
	"testing"
)

func TestGenerateSystemd(t *testing.T) {
	t.Parallel()
	out, errText, code := runVerb(t, nil, "generate", "systemd")
	packaged, err := os.ReadFile("packaging/syllecta.service")
	if err != nil || code != exitOK || errText != "" || out != string(packaged) {
		t.Errorf("exit code %d, %q, %v: the unit is not that of the package", code, errText, err)
	}
}

// TestUnitIsInStep keeps what the unit knows of this program in step with it.
func TestUnitIsInStep(t *testing.T) {
	t.Parallel()
	var environ []string
	for line := range strings.Lines(unitFile) {
		if setting, ok := strings.CutPrefix(strings.TrimSpace(line), "Environment="); ok {
			name, value, _ := strings.Cut(setting, "=")
			environ = append(environ, name+"="+strings.NewReplacer("%H", "node1", "%S", "/var/lib").Replace(value))
		}
	}
	for _, file := range []string{"packaging/syllecta.toml", examplesOf(t, "packaging/syllecta.toml")} {
		l, err := loadSettings(newServer(&terminal{}).Flags(), environ, file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if l.NodeID != "node1" || l.DataDir != "/var/lib/syllecta" || !strings.HasSuffix(l.HTTPAdvertise, "://node1:4000") ||
			l.RaftAdvertise != "node1:4100" || l.GossipAdvertise != "node1:4200" || l.AllowPublicPlaintext {
			t.Errorf("%s: got %+v", file, l.settings)
		}
	}
	for _, line := range []string{"RestartPreventExitStatus=8\n", "Type=notify\n", "NoNewPrivileges=yes\n"} {
		if !strings.Contains(unitFile, line) {
			t.Errorf("the unit lacks %q", line)
		}
	}
	if exitRemoved != 8 {
		t.Errorf("a removed node exits with %d, and the unit restarts it", exitRemoved)
	}
}

// examplesOf writes the file with all that it shows as examples, but for the section of a single node, put in force.
func examplesOf(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	single := false
	for line := range strings.Lines(string(raw)) {
		if strings.HasPrefix(line, "# ---") {
			single = strings.Contains(line, "One node")
		}
		if setting := strings.TrimPrefix(line, "# "); !single && strings.Contains(setting, " = ") {
			shown.WriteString(setting)
		}
	}
	if shown.Len() == 0 {
		t.Fatal("no examples: has the file another form now?")
	}
	out := t.TempDir() + "/syllecta.toml"
	if err := os.WriteFile(out, []byte(shown.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
