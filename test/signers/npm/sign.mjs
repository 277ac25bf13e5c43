// Signs and verifies with the libraries of this folder, as npm_test.go asks: a line of JSON in, a line of JSON out.
// Nothing is signed here but by a library.
import { createInterface } from "node:readline";

import adyen from "@adyen/api-library";
import hubspot from "@hubspot/api-client";
import { sign as signGitHub } from "@octokit/webhooks-methods";
import braintree from "braintree";
import * as standardwebhooks from "standardwebhooks";
import Stripe from "stripe";
import * as svix from "svix";
import twilio from "twilio";

const stripe = new Stripe("sk_test_1");
const hmac = new adyen.hmacValidator();

// The libraries by name. `sign` returns what the provider would send: headers, body and, where the library has changed
// it, the URL. `verify` returns false, or throws what `isRefusal` knows, if the library refuses a request.
const libraries = {
  github: {
    sign: async ({ secret, body }) => ({ headers: { "X-Hub-Signature-256": await signGitHub(secret, body) }, body }),
  },
  stripe: {
    sign: ({ secret, body, seconds }) => ({
      headers: {
        "Stripe-Signature": stripe.webhooks.generateTestHeaderString({ secret, payload: body, timestamp: seconds }),
      },
      body,
    }),
    verify: ({ secret, body, headers, seconds }) =>
      stripe.webhooks.constructEvent(body, headers["Stripe-Signature"], secret, undefined, undefined, seconds * 1000),
    isRefusal: (error) => error instanceof Stripe.errors.StripeSignatureVerificationError,
  },
  standardwebhooks: standard(standardwebhooks, "webhook-"),
  svix: standard(svix, "svix-"),
  twilio: {
    sign: ({ secret, url, fields }) => ({
      headers: { "X-Twilio-Signature": twilio.getExpectedTwilioSignature(secret, url, fields) },
      body: new URLSearchParams(
        Object.entries(fields).flatMap(([name, values]) => [values].flat().map((value) => [name, value])),
      ).toString(),
    }),
  },
  twilioJSON: {
    sign: ({ secret, url, body }) => {
      const signed = `${url}?bodySHA256=${twilio.getExpectedBodyHash(body)}`;
      return {
        headers: { "X-Twilio-Signature": twilio.getExpectedTwilioSignature(secret, signed, {}) },
        body,
        url: signed,
      };
    },
  },
  hubspotV1: hubspotHash("v1"),
  hubspotV2: hubspotHash("v2"),
  hubspotV3: {
    sign: (request) => ({
      headers: {
        "X-HubSpot-Signature-v3": hubspotSignature("v3", request),
        "X-HubSpot-Request-Timestamp": String(request.seconds * 1000),
      },
      body: request.body,
    }),
  },
  adyen: {
    sign: ({ secret, body }) => {
      const item = JSON.parse(body);
      item.additionalData = { ...item.additionalData, hmacSignature: hmac.calculateHmac(item, secret) };
      return {
        body: JSON.stringify({ live: "false", notificationItems: [{ NotificationRequestItem: item }] }),
      };
    },
    verify: ({ secret, body }) =>
      JSON.parse(body).notificationItems.every((item) => hmac.validateHMAC(item.NotificationRequestItem, secret)),
  },
  adyenPlatform: {
    sign: ({ secret, body }) => ({ headers: { HmacSignature: hmac.calculateHmac(body, secret) }, body }),
  },
  braintree: {
    sign: async ({ secret, kind }) => ({
      body: new URLSearchParams(await braintreeOf(secret).webhookTesting.sampleNotification(kind, "disputeId")).toString(),
    }),
    verify: ({ secret, body }) => {
      const form = new URLSearchParams(body);
      return braintreeOf(secret).webhookNotification.parse(form.get("bt_signature"), form.get("bt_payload"));
    },
    isRefusal: (error) => error.type === braintree.errorTypes.invalidSignatureError,
  },
};

function standard({ Webhook, WebhookVerificationError }, prefix) {
  return {
    sign: ({ secret, body, id, seconds }) => ({
      headers: {
        [`${prefix}id`]: id,
        [`${prefix}timestamp`]: String(seconds),
        [`${prefix}signature`]: new Webhook(secret).sign(id, new Date(seconds * 1000), body),
      },
      body,
    }),
    verify: ({ secret, body, headers }) => new Webhook(secret).verify(body, headers),
    isRefusal: (error) => error instanceof WebhookVerificationError,
  };
}

function hubspotSignature(version, { secret, method, url, body, seconds }) {
  return hubspot.Signature.getSignature(method, version, {
    clientSecret: secret,
    requestBody: body,
    url,
    timestamp: seconds * 1000,
  });
}

function hubspotHash(version) {
  return {
    sign: (request) => ({
      headers: {
        "X-HubSpot-Signature": hubspotSignature(version, request),
        "X-HubSpot-Signature-Version": version,
      },
      body: request.body,
    }),
  };
}

function braintreeOf(secret) {
  const [publicKey, privateKey] = secret.split("|");
  return new braintree.BraintreeGateway({
    environment: braintree.Environment.Sandbox,
    merchantId: "merchant",
    publicKey,
    privateKey,
  });
}

async function answer(request) {
  const library = libraries[request.library];
  if (request.action === "sign") return library.sign(request);
  try {
    return { verified: (await library.verify(request)) !== false };
  } catch (error) {
    if (library.isRefusal?.(error)) return { verified: false };
    throw error;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let out;
  try {
    out = await answer(JSON.parse(line));
  } catch (error) {
    out = { error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(out)}\n`);
}
