module github.com/syllecta/syllecta/test/signers

go 1.26.0

require (
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stripe/stripe-go/v83 v83.2.1
	github.com/svix/svix-webhooks v1.44.0
	github.com/syllecta/syllecta v0.0.0
	github.com/twilio/twilio-go v1.31.0
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/golang/mock v1.6.0 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	gopkg.in/validator.v2 v2.0.1 // indirect
)

replace github.com/syllecta/syllecta => ../..
