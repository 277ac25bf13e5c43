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

// rfc8032Samples are test vectors of RFC 8032, section 7.1: public key, message and signature. Discord's message is the
// timestamp and then the body, so the first byte of each is passed off as a timestamp.
var rfc8032Samples = []sample{
	rfc8032("RFC 8032, test 2", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
		"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
	rfc8032("RFC 8032, test 3", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
		"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
	rfc8032("RFC 8032, SHA(abc)", "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
		"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
		"dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"),
}

func rfc8032(name, public, message, signature string) sample {
	raw, err := hex.DecodeString(message)
	if err != nil {
		panic(err)
	}
	return sample{name: name, source: withSecret("discord", public), header: discordSignature,
		request: post(string(raw[1:]), discordSignature, signature, discordTimestamp, string(raw[:1]))}
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
