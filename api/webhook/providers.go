package webhook

import (
	"crypto/sha1" // GitHub's old header and Intercom sign with HMAC-SHA1, which SHA-1's collisions do not concern.
	"crypto/sha256"
	"slices"
	"time"
)

// Provider is what one must know about a provider to set up a source.
type Provider struct {
	Name    string   // what Source.Provider is
	Aliases []string // other names that mean the same
	Title   string   // how the provider writes its own name

	NeedsSecret bool
	Secret      string // what the provider calls it, and how it is written
	NeedsURL    bool   // the registered URL is signed, so it must be known exactly

	SignatureHeader string        // where the signature is
	Signed          string        // how it is made, and of what
	Tolerance       time.Duration // the default for signed timestamps; 0 if there is none, or it is not checked

	ID       string // where the id is that recognises a repetition
	IDSigned bool   // the signature covers the id

	Offline       bool   // a request can be verified completely, without asking anybody
	Gap           string // what the signature leaves open; "" if nothing
	Documentation string // the provider's own page on signatures
}

// readFunc reads a request that was verified by the secret of that index.
type readFunc func(s Source, r Request, secret int) (Receipt, error)

// provider is a line of the table: what is known, and how it is done.
type provider struct {
	Provider
	configured  func(Source) error
	checkSecret func(Source, string) error
	challenge   func(Source, Request) (Receipt, bool) // answers a question that nobody signs
	verify      func(Source, Request) (int, error)
	read        readFunc
}

// Providers lists what this package knows, by name.
func Providers() []Provider {
	list := make([]Provider, len(table))
	for i, p := range table {
		list[i] = p.Provider
		list[i].Aliases = slices.Clone(p.Aliases)
	}
	return list
}

// lookup finds a line of the table by name or alias.
var lookup = func() map[string]*provider {
	byName := map[string]*provider{}
	for i := range table {
		p := &table[i]
		byName[p.Name] = p
		for _, alias := range p.Aliases {
			byName[alias] = p
		}
	}
	return byName
}()

// secretFor checks a secret by decoding it.
func secretFor(key keyDecoding) func(Source, string) error {
	return func(_ Source, secret string) error {
		_, err := key(secret)
		return err
	}
}

var anySecret = secretFor(rawKey)

const unsignedID = "The id comes in a header that is not signed."

// table is sorted by name.
var table = []provider{
	{
		Provider: Provider{
			Name: "adyen", Title: "Adyen", NeedsSecret: true, Secret: "HMAC key, hexadecimal",
			SignatureHeader: "additionalData.hmacSignature of each item, or HmacSignature",
			Signed:          "HMAC-SHA256 of eight members joined by colons, or of the body; base64",
			ID:              "pspReference, eventCode and success of each item, or the body's hash", IDSigned: true, Offline: true,
			Gap:           "Of an item only the eight members are signed. Date, reason, payment method and the rest are not.",
			Documentation: "https://docs.adyen.com/development-resources/webhooks/secure-webhooks/verify-hmac-signatures",
		},
		checkSecret: secretFor(hexKey), verify: verifyAdyen, read: readAdyen,
	},
	{
		Provider: Provider{
			Name: "braintree", Title: "Braintree", NeedsSecret: true, Secret: "public key|private key",
			SignatureHeader: "bt_signature (form field)", Signed: "HMAC-SHA1 of bt_payload; hexadecimal",
			ID: "the hash of bt_payload", IDSigned: true, Offline: true,
			Documentation: "https://developer.paypal.com/braintree/docs/guides/webhooks/parse",
		},
		checkSecret: checkBraintreeSecret, challenge: challengeBraintree, verify: verifyBraintree, read: readBraintree,
	},
	{
		Provider: Provider{
			Name: "discord", Title: "Discord", NeedsSecret: true, Secret: "public key of the application, hexadecimal",
			SignatureHeader: discordSignature, Signed: "ed25519 of timestamp and body; hexadecimal",
			ID: "id, or the hash of a webhook event's body", IDSigned: true, Offline: true,
			Gap:           "An interaction wants its own answer within three seconds.",
			Documentation: "https://discord.com/developers/docs/interactions/overview#setting-up-an-endpoint",
		},
		checkSecret: checkDiscordSecret, verify: verifyDiscord, read: readDiscord,
	},
	{
		Provider: Provider{
			Name: "generic", Title: "Generic HMAC", NeedsSecret: true, Secret: "any text",
			SignatureHeader: genericScheme.header, Signed: "HMAC-SHA256 of <t>.<body>; t=<unix seconds>,v1=<hexadecimal>",
			Tolerance: DefaultTolerance, ID: "id", IDSigned: true, Offline: true,
		},
		configured: configuredGeneric, checkSecret: checkGenericSecret, verify: verifyGeneric, read: readGeneric,
	},
	{
		Provider: Provider{
			Name: "github", Title: "GitHub", NeedsSecret: true, Secret: "secret of the webhook",
			SignatureHeader: "X-Hub-Signature-256", Signed: "HMAC-SHA256 of the body; sha256=<hexadecimal>",
			ID: "X-GitHub-Delivery", Offline: true, Gap: unsignedID,
			Documentation: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
		},
		checkSecret: anySecret,
		verify: bySchemes(
			&scheme{header: "X-Hub-Signature-256", prefix: "sha256=", hash: sha256.New, encoding: hexText, key: rawKey,
				signed: "{body}"},
			&scheme{header: "X-Hub-Signature", prefix: "sha1=", hash: sha1.New, encoding: hexText, key: rawKey,
				signed: "{body}"},
		),
		read: readGitHub,
	},
	{
		Provider: Provider{
			Name: "gitlab", Title: "GitLab", NeedsSecret: true, Secret: "signing token (whsec_…) or secret token",
			SignatureHeader: "webhook-signature, or " + gitlabTokenHeader,
			Signed:          "Standard Webhooks with a signing token; a secret token signs nothing",
			Tolerance:       DefaultTolerance, ID: "webhook-id, Idempotency-Key, or X-Gitlab-Event-UUID with the body's hash",
			Offline: true, Gap: "A secret token only shows that the sender knows it. Prefer a signing token.",
			Documentation: "https://docs.gitlab.com/user/project/integrations/webhooks/",
		},
		checkSecret: checkGitLabSecret, verify: verifyGitLab, read: readGitLab,
	},
	{
		Provider: Provider{
			Name: "hubspot", Title: "HubSpot", NeedsSecret: true, Secret: "client secret of the app", NeedsURL: true,
			SignatureHeader: "X-HubSpot-Signature-v3, or X-HubSpot-Signature",
			Signed:          "HMAC-SHA256 of method, URL, body and timestamp; base64; earlier versions a plain SHA-256",
			Tolerance:       DefaultTolerance, ID: "portalId, subscriptionId, eventId, occurredAt and objectId of each item",
			IDSigned: true, Offline: true, Gap: "Versions 1 and 2 sign no timestamp.",
			Documentation: "https://developers.hubspot.com/docs/api/webhooks/validating-requests",
		},
		checkSecret: anySecret, verify: verifyHubSpot, read: readHubSpot,
	},
	{
		Provider: Provider{
			Name: "intercom", Title: "Intercom", NeedsSecret: true, Secret: "client secret of the app",
			SignatureHeader: "X-Hub-Signature", Signed: "HMAC-SHA1 of the body; sha1=<hexadecimal>",
			ID: "id", IDSigned: true, Offline: true,
			Documentation: "https://developers.intercom.com/docs/webhooks/setting-up-webhooks",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{header: "X-Hub-Signature", prefix: "sha1=", hash: sha1.New, encoding: hexText,
			key: rawKey, signed: "{body}"}),
		read: readMembers(nil, "", members{id: "id", rawType: "topic", at: "created_at", atFormat: unixSeconds}),
	},
	{
		Provider: Provider{
			Name: "linear", Title: "Linear", NeedsSecret: true, Secret: "signing secret of the webhook",
			SignatureHeader: linearScheme.header, Signed: "HMAC-SHA256 of the body; hexadecimal",
			Tolerance: linearTolerance, ID: "Linear-Delivery", Offline: true, Gap: unsignedID,
			Documentation: "https://linear.app/developers/webhooks",
		},
		checkSecret: anySecret, verify: verifyLinear, read: readLinear,
	},
	{
		Provider: Provider{
			Name: "paddle", Title: "Paddle Billing", NeedsSecret: true, Secret: "secret key of the destination (pdl_ntfset_…)",
			SignatureHeader: "Paddle-Signature", Signed: "HMAC-SHA256 of <ts>:<body>; ts=<unix seconds>;h1=<hexadecimal>",
			Tolerance: DefaultTolerance, ID: "event_id", IDSigned: true, Offline: true,
			Documentation: "https://developer.paddle.com/webhooks/signature-verification",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{
			header: "Paddle-Signature", list: &list{separator: ";", assign: "=", signature: "h1", timestamp: "ts"},
			hash: sha256.New, encoding: hexText, key: rawKey, signed: "{timestamp}:{body}",
		}),
		read: readMembers(paddleTypes, "", members{
			id: "event_id", rawType: "event_type", decisive: []string{"data.action"}, at: "occurred_at", atFormat: rfc3339,
		}),
	},
	{
		Provider: Provider{
			Name: "paypal", Title: "PayPal", SignatureHeader: paypalSignature,
			Signed: "RSA-SHA256 of transmission id, time, webhook id and the body's CRC-32; base64",
			ID:     "id", IDSigned: true,
			Gap: "The certificate is fetched from PayPal. The body is bound by a CRC-32 only, so that a request that was " +
				"seen can be forged: ask PayPal about events that matter.",
			Documentation: "https://developer.paypal.com/api/rest/webhooks/rest/#verify-event-notifications",
		},
		configured: configuredPayPal, verify: verifyPayPal,
		read: readMembers(paypalTypes, "", members{
			id: "id", rawType: "event_type", decisive: []string{"resource.dispute_outcome.outcome_code"},
			at: "create_time", atFormat: rfc3339,
		}),
	},
	{
		Provider: Provider{
			Name: "razorpay", Title: "Razorpay", NeedsSecret: true, Secret: "secret of the webhook",
			SignatureHeader: "X-Razorpay-Signature", Signed: "HMAC-SHA256 of the body; hexadecimal",
			ID: "X-Razorpay-Event-Id", Offline: true, Gap: unsignedID,
			Documentation: "https://razorpay.com/docs/webhooks/validate-test/",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{header: "X-Razorpay-Signature", hash: sha256.New, encoding: hexText, key: rawKey,
			signed: "{body}"}),
		read: readMembers(razorpayTypes, "X-Razorpay-Event-Id", members{
			rawType: "event", at: "created_at", atFormat: unixSeconds,
		}),
	},
	{
		Provider: Provider{
			Name: "sendgrid", Title: "SendGrid", NeedsSecret: true, Secret: "verification key of the event webhook, base64",
			SignatureHeader: sendgridSignature, Signed: "ECDSA (P-256) of timestamp and body; base64",
			ID: "sg_event_id of each item", IDSigned: true, Offline: true,
			Documentation: "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/" +
				"getting-started-event-webhook-security-features",
		},
		checkSecret: checkSendGridSecret, verify: verifySendGrid, read: readSendGrid,
	},
	{
		Provider: Provider{
			Name: "shopify", Title: "Shopify", NeedsSecret: true, Secret: "client secret of the app",
			SignatureHeader: "X-Shopify-Hmac-Sha256", Signed: "HMAC-SHA256 of the body; base64",
			ID:      "X-Shopify-Webhook-Id, X-Shopify-Event-Id with the topic, or X-Request-Id",
			Offline: true, Gap: unsignedID + " X-Request-Id may be a proxy's, which makes every retry new.",
			Documentation: "https://shopify.dev/docs/apps/build/webhooks/verify-deliveries",
		},
		checkSecret: anySecret,
		verify: bySchemes(
			&scheme{header: "X-Shopify-Hmac-Sha256", hash: sha256.New, encoding: base64Text, key: rawKey, signed: "{body}"},
			&scheme{header: "Shopify-Hmac-Sha256", hash: sha256.New, encoding: base64Text, key: rawKey, signed: "{body}"},
		),
		read: readShopify,
	},
	{
		Provider: Provider{
			Name: "slack", Title: "Slack", NeedsSecret: true, Secret: "signing secret of the app",
			SignatureHeader: "X-Slack-Signature", Signed: "HMAC-SHA256 of v0:<timestamp>:<body>; v0=<hexadecimal>",
			Tolerance: DefaultTolerance, ID: "event_id, or trigger_id of commands and interactions", IDSigned: true,
			Offline: true, Documentation: "https://docs.slack.dev/authentication/verifying-requests-from-slack/",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{
			header: "X-Slack-Signature", prefix: "v0=", hash: sha256.New, encoding: hexText, key: rawKey,
			signed: "v0:{timestamp}:{body}", atHeader: "X-Slack-Request-Timestamp",
		}),
		read: readSlack,
	},
	{
		Provider: Provider{
			Name: "square", Title: "Square", NeedsSecret: true, Secret: "signature key of the subscription", NeedsURL: true,
			SignatureHeader: "X-Square-HmacSha256-Signature", Signed: "HMAC-SHA256 of URL and body; base64",
			ID: "event_id", IDSigned: true, Offline: true,
			Documentation: "https://developer.squareup.com/docs/webhooks/step3validate",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{header: "X-Square-HmacSha256-Signature", hash: sha256.New, encoding: base64Text,
			key: rawKey, signed: "{url}{body}"}),
		read: readMembers(squareTypes, "", members{
			id: "event_id", rawType: "type", at: "created_at", atFormat: rfc3339, decisive: []string{
				"data.object.payment.status", "data.object.refund.status", "data.object.dispute.state",
			},
		}),
	},
	{
		Provider: Provider{
			Name: "standardwebhooks", Aliases: []string{"standard-webhooks", "svix"}, Title: "Standard Webhooks (Svix)",
			NeedsSecret: true, Secret: "whsec_<base64>, or whpk_<base64> for ed25519",
			SignatureHeader: "webhook-signature, or svix-signature",
			Signed:          "HMAC-SHA256 of <id>.<timestamp>.<body>; v1,<base64>; or ed25519 of the same; v1a,<base64>",
			Tolerance:       DefaultTolerance, ID: "webhook-id, or svix-id", IDSigned: true, Offline: true,
			Documentation: "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
		},
		checkSecret: checkStandardSecret, verify: verifyStandard, read: readStandard,
	},
	{
		Provider: Provider{
			Name: "stripe", Title: "Stripe", NeedsSecret: true, Secret: "signing secret of the endpoint (whsec_…)",
			SignatureHeader: "Stripe-Signature", Signed: "HMAC-SHA256 of <t>.<body>; t=<unix seconds>,v1=<hexadecimal>",
			Tolerance: DefaultTolerance, ID: "id, with account if that is there", IDSigned: true, Offline: true,
			Documentation: "https://docs.stripe.com/webhooks/signature",
		},
		checkSecret: anySecret, verify: bySchemes(stripeScheme),
		read: readMembers(stripeTypes, "", members{
			id: "id", discriminator: "account", rawType: "type", decisive: []string{"data.object.status"},
			at: "created", atFormat: unixSeconds,
		}),
	},
	{
		Provider: Provider{
			Name: "twilio", Title: "Twilio", NeedsSecret: true, Secret: "auth token of the account", NeedsURL: true,
			SignatureHeader: twilioSignature, Signed: "HMAC-SHA1 of the URL and the sorted fields; base64",
			ID:            "I-Twilio-Idempotency-Token, or MessageSid and status, or CallSid, status and SequenceNumber",
			Offline:       true,
			Gap:           "The idempotency token is not signed. Fields are signed without separators.",
			Documentation: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
		},
		checkSecret: anySecret, verify: verifyTwilio, read: readTwilio,
	},
	{
		Provider: Provider{
			Name: "zendesk", Title: "Zendesk", NeedsSecret: true, Secret: "signing secret of the webhook",
			SignatureHeader: "X-Zendesk-Webhook-Signature", Signed: "HMAC-SHA256 of timestamp and body; base64",
			Tolerance: DefaultTolerance, ID: "X-Zendesk-Webhook-Invocation-Id", Offline: true, Gap: unsignedID,
			Documentation: "https://developer.zendesk.com/documentation/webhooks/verifying/",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{
			header: "X-Zendesk-Webhook-Signature", hash: sha256.New, encoding: base64Text, key: rawKey,
			signed: "{timestamp}{body}", atHeader: "X-Zendesk-Webhook-Signature-Timestamp", atFormat: rfc3339,
		}),
		read: readZendesk,
	},
	{
		Provider: Provider{
			Name: "zoom", Title: "Zoom", NeedsSecret: true, Secret: "secret token of the app",
			SignatureHeader: "x-zm-signature", Signed: "HMAC-SHA256 of v0:<timestamp>:<body>; v0=<hexadecimal>",
			Tolerance: DefaultTolerance, ID: "event, event_ts, uuid and participant, or the body's hash", IDSigned: true,
			Offline: true, Documentation: "https://developers.zoom.us/docs/api/webhooks/#verify-webhook-events",
		},
		checkSecret: anySecret,
		verify: bySchemes(&scheme{
			header: "x-zm-signature", prefix: "v0=", hash: sha256.New, encoding: hexText, key: rawKey,
			signed: "v0:{timestamp}:{body}", atHeader: "x-zm-request-timestamp",
		}),
		read: readZoom,
	},
}
