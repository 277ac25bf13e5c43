package webhook

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strconv"
	"sync"
	"testing"
	"time"
)

// The samples of this file are signed with keys that are made here.

var (
	discordSeed = sha256.Sum256([]byte("discord"))
	discordPair = ed25519.NewKeyFromSeed(discordSeed[:])
)

var discordSample = discordRequest("1700000000", `{"id":"1178321395302871092","type":2,"version":1}`)

func discordRequest(timestamp, body string) sample {
	public := hex.EncodeToString(discordPair.Public().(ed25519.PublicKey))
	signature := hex.EncodeToString(ed25519.Sign(discordPair, []byte(timestamp+body)))
	return sample{name: "Discord", source: withSecret("discord", public), header: discordSignature,
		request: post(body, discordSignature, signature, discordTimestamp, timestamp)}
}

// ed25519Sample is signed as Standard Webhooks sign with a private key.
var ed25519Sample = standard("Standard Webhooks, ed25519",
	"whpk_"+base64.StdEncoding.EncodeToString(discordPair.Public().(ed25519.PublicKey)), "msg_1", "1700000000", demoBody,
	"v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(discordPair, []byte("msg_1.1700000000."+demoBody))))

const gitlabTestToken = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="

var gitlabSample = sample{name: "GitLab", source: withSecret("gitlab", gitlabTestToken), header: "webhook-signature",
	request: post(`{"object_kind":"push"}`, "webhook-id", "5f1f", "webhook-timestamp", "1700000000", "webhook-signature",
		"v1,"+macBase64(sha256.New, "testtesttesttesttesttesttesttest", `5f1f.1700000000.{"object_kind":"push"}`))}

const adyenPlatformBody = `{"data":{"id":"EVJN42272224222B"},"environment":"test","timestamp":"2024-02-16T10:34:00Z",` +
	`"type":"balancePlatform.transfer.created"}`

var adyenPlatformSample = func() sample {
	key, err := hex.DecodeString(adyenTestKey)
	if err != nil {
		panic(err)
	}
	return sample{name: "Adyen, platform", source: withSecret("adyen", adyenTestKey), header: "HmacSignature",
		request: post(adyenPlatformBody, "HmacSignature", macBase64(sha256.New, string(key), adyenPlatformBody))}
}()

// paypalPKI is a root, and a certificate of PayPal that leads to it.
type paypalPKI struct {
	root, leaf *x509.Certificate
	rootKey    *rsa.PrivateKey
	key        *rsa.PrivateKey
}

// newPayPalPKI makes a pair of keys once: that takes long under the race detector.
var newPayPalPKI = sync.OnceValue(func() paypalPKI {
	p := paypalPKI{rootKey: mustRSA(), key: mustRSA()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(1_600_000_000, 0), NotAfter: time.Unix(1_900_000_000, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	p.root = mustIssue(template, template, &p.rootKey.PublicKey, p.rootKey)
	p.leaf = p.issue("messageverificationcerts.paypal.com")
	return p
})

func mustRSA() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func mustIssue(template, parent *x509.Certificate, public *rsa.PublicKey, signer *rsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		panic(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return c
}

func (p paypalPKI) issue(host string) *x509.Certificate {
	return mustIssue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Unix(1_690_000_000, 0), NotAfter: time.Unix(1_710_000_000, 0),
	}, p.root, &p.key.PublicKey, p.rootKey)
}

const paypalBody = `{"id":"WH-9UG43882HX7271132-6E0871324L7949614","create_time":"2016-09-21T22:00:45Z",` +
	`"event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{}}`

func paypalSample(t testing.TB) sample {
	t.Helper()
	p := newPayPalPKI()
	roots := x509.NewCertPool()
	roots.AddCert(p.root)
	return sample{
		name: "PayPal", header: paypalSignature,
		source: Source{
			Provider: "paypal", WebhookID: "9XL90610J3647323C", Roots: roots,
			Certificates: func(string) ([]*x509.Certificate, error) { return []*x509.Certificate{p.leaf}, nil },
		},
		request: post(paypalBody, paypalID, "d938e770-8046-11e6-8103-6b62a8a99ac4", paypalTime, "2023-11-14T22:13:20Z",
			paypalAlgorithm, "SHA256withRSA", paypalCertURL, "https://api.paypal.com/v1/notifications/certs/CERT-360caa42",
			paypalSignature, p.sign("d938e770-8046-11e6-8103-6b62a8a99ac4|2023-11-14T22:13:20Z|9XL90610J3647323C|"+
				strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(paypalBody))), 10))),
	}
}

func (p paypalPKI) sign(message string) string {
	sum := sha256.Sum256([]byte(message))
	signature, err := rsa.SignPKCS1v15(rand.Reader, p.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(signature)
}
