package webhook

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var writePage = flag.Bool("write-providers", false, "write PROVIDERS.md anew")

// TestProvidersPage keeps the page about providers what the table says. `go test ./api/webhook -write-providers` writes it.
func TestProvidersPage(t *testing.T) {
	t.Parallel()
	const path = "PROVIDERS.md"
	page := providersPage(t)
	if *writePage {
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != page {
		t.Error("PROVIDERS.md is not what the table of providers says: run go test ./api/webhook -write-providers")
	}
}

const pageHead = `# Providers

What a source can be of, as ` + "`syllecta source create PROVIDER`" + ` takes it. An event that comes again is known by what is
in the second column. The signature is verified over the bytes that came, before anything of them is read; a signed
timestamp may be off by the tolerance, either way, which ` + "`toleranceSeconds`" + ` changes.

The last column says with what our verifier was checked: *published* are signatures that the provider prints in its
documentation or tests its own libraries with, *computed* are signatures that other programs than ours made by the documented
scheme, and *own keys* are made by our tests. All providers but PayPal are verified without asking anybody. PayPal's
certificate is fetched from PayPal; no request of PayPal's own was available, so it was checked against certificates of our
own alone. Beside that, what the Go libraries of Stripe, Standard Webhooks, Svix and Twilio sign is accepted as it is (test/signers).

| provider | what identifies an event | signature | tolerance | checked with |
|---|---|---|---|---|
`

const pageGaps = `
Where the signature leaves something open:

`

// providersPage writes the table as Markdown.
func providersPage(t *testing.T) string {
	t.Helper()
	checked := checkedWith(t)
	var rows, gaps strings.Builder
	for _, p := range Providers() {
		names := "`" + strings.Join(append([]string{p.Name}, p.Aliases...), "`, `") + "`"
		if p.NeedsURL {
			names += " ¹"
		}
		signature := p.Signed + " (" + p.SignatureHeader + ")"
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", names, cell(p.ID), cell(signature), toleranceText(p.Tolerance), checked[p.Name])
		if p.Gap != "" {
			fmt.Fprintf(&gaps, "- %s: %s\n", p.Title, p.Gap)
		}
	}
	return pageHead + rows.String() + "\n¹ The URL is signed too: behind a proxy, name the one that the provider calls, as `notificationUrl`.\n" +
		pageGaps + gaps.String()
}

// cell keeps a text from ending its cell, and from being taken for HTML.
func cell(text string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text) }

func toleranceText(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%d s", int(d.Seconds()))
}

// checkedWith is the best that each provider's verifier was checked with.
func checkedWith(t *testing.T) map[string]string {
	t.Helper()
	checked := map[string]string{}
	for _, of := range []struct {
		words   string
		samples []sample
	}{{"own keys", allSamples(t)}, {"computed", derivedVectors}, {"published", publishedVectors}} {
		for _, s := range of.samples {
			checked[lookup[s.source.Provider].Name] = of.words
		}
	}
	for _, p := range Providers() {
		if checked[p.Name] == "" {
			t.Errorf("%s was checked with nothing", p.Name)
		}
	}
	return checked
}
