package api

import (
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/syllecta/syllecta/fsm"
)

// sourceFields are the members by which a source is created or changed.
type sourceFields struct {
	provider, name string // "" if absent
	callbackURL    optionalText
	secrets        []string
	options        optionalJSON
	raw, enabled   optionalBool
	// retryDelays is in seconds; nil if absent.
	retryDelays                                       []int64
	dedupeWindowSeconds, maxConcurrency, maxPerSecond optionalInt
}

// optionalBool is true or false, or absent.
type optionalBool struct{ value, set bool }

// optionalJSON is a value as it was written, without spaces, that may be absent.
type optionalJSON struct {
	value []byte
	set   bool
}

// decodeSource reads the body of POST and PATCH for sources.
func decodeSource(body []byte) (sourceFields, *problem) {
	var f sourceFields
	return f, decodeObject(body, f.member)
}

func (f *sourceFields) member(d *decoder, name []byte) *problem {
	switch string(name) {
	case "provider":
		return d.slug(&f.provider, "provider")
	case "name":
		return d.slug(&f.name, "name")
	case "callbackUrl":
		return d.callbackURL(&f.callbackURL)
	case "secrets":
		return d.secrets(&f.secrets)
	case "options":
		return d.sourceOptions(&f.options)
	case "raw":
		return d.optionalBool(&f.raw, "raw")
	case "enabled":
		return d.optionalBool(&f.enabled, "enabled")
	case "dedupeWindowSeconds":
		return d.integer(&f.dedupeWindowSeconds, "dedupeWindowSeconds", fsm.MinDedupeWindowMs/1000, fsm.MaxDedupeWindowMs/1000)
	case "retryDelaysSeconds":
		return d.retryDelays(&f.retryDelays)
	case "maxConcurrency":
		return d.integer(&f.maxConcurrency, "maxConcurrency", 0, fsm.MaxSourceConcurrency)
	case "maxPerSecond":
		return d.integer(&f.maxPerSecond, "maxPerSecond", 0, fsm.MaxSourceRate)
	default:
		return d.skip()
	}
}

// decodeNewSource reads the body of POST /v1/sources.
func decodeNewSource(body []byte) (sourceFields, *problem) {
	f, p := decodeSource(body)
	switch {
	case p != nil:
		return f, p
	case f.provider == "":
		return f, missingField.problem("provider is missing")
	}
	if f.name == "" {
		f.name = fsm.DefaultSourceName
	}
	if !f.dedupeWindowSeconds.set {
		f.dedupeWindowSeconds = optionalInt{fsm.DefaultDedupeWindowMs / 1000, true}
	}
	return f, nil
}

// decodeSourceChange reads the body of PATCH /v1/sources/:source.
func decodeSourceChange(body []byte) (sourceFields, *problem) {
	f, p := decodeSource(body)
	switch {
	case p != nil:
	case f.provider != "":
		p = invalidField.problem("provider cannot be changed")
	case f.name != "":
		p = invalidField.problem("name cannot be changed")
	case f.secrets != nil:
		p = invalidField.problem("secrets cannot be changed here: add and remove them one by one, below the source's path")
	}
	return f, p
}

// decodeSourceSecret reads the body of POST /v1/sources/:source/secrets.
func decodeSourceSecret(body []byte) (secret string, p *problem) {
	p = decodeObject(body, func(d *decoder, name []byte) *problem {
		if string(name) == "secret" {
			return d.text(&secret, "secret", maxSecretBytes)
		}
		return d.skip()
	})
	if p == nil && secret == "" {
		p = missingField.problem("secret is missing")
	}
	return secret, p
}

// decodeSigningRoll reads the body of POST /v1/sources/:source/signing-secret, which may be absent, and returns for how
// long the secret that is rolled stays good.
func decodeSigningRoll(body []byte) (overlapMs int64, p *problem) {
	var seconds optionalInt
	if len(body) > 0 {
		p = decodeObject(body, func(d *decoder, name []byte) *problem {
			if string(name) == "overlapSeconds" {
				return d.integer(&seconds, "overlapSeconds", 0, fsm.MaxSigningOverlapMs/1000)
			}
			return d.skip()
		})
	}
	return seconds.or(fsm.DefaultSigningOverlapMs/1000) * 1000, p
}

// applyTo changes what is named.
func (f *sourceFields) applyTo(s *fsm.Source) {
	if f.callbackURL.set {
		s.CallbackURL = f.callbackURL.value
	}
	if f.options.set {
		s.Options = f.options.value
	}
	if f.raw.set {
		s.Raw = f.raw.value
	}
	if f.enabled.set {
		s.Disabled = !f.enabled.value
	}
	if !s.Disabled {
		s.DisabledReason = ""
	}
	if f.retryDelays != nil {
		s.RetryDelaysMs = make([]int64, len(f.retryDelays))
		for i, seconds := range f.retryDelays {
			s.RetryDelaysMs[i] = seconds * 1000
		}
	}
	s.DedupeWindowMs = f.dedupeWindowSeconds.or(s.DedupeWindowMs/1000) * 1000
	s.MaxConcurrency = f.maxConcurrency.or(s.MaxConcurrency)
	s.MaxPerSecond = f.maxPerSecond.or(s.MaxPerSecond)
}

func (d *decoder) optionalBool(dst *optionalBool, name string) *problem {
	if isNull, p := d.null(); isNull || p != nil {
		return p
	}
	dst.set = true
	return d.boolean(&dst.value, name)
}

// callbackURL reads a URL, or "" for none. What makes a good one is looked at afterwards.
func (d *decoder) callbackURL(dst *optionalText) *problem {
	raw, p := d.value("callbackUrl", jsontext.KindString, "a string")
	if raw != nil && p == nil {
		*dst = optionalText{string(unquote(raw)), true}
	}
	return p
}

// sourceOptions reads the object that a provider's adapter is set up by; an empty one is kept as none.
func (d *decoder) sourceOptions(dst *optionalJSON) *problem {
	raw, p := d.value("options", jsontext.KindBeginObject, "an object")
	if raw == nil || p != nil {
		return p
	}
	compact := slices.Clone(raw)
	if err := compact.Compact(); err != nil {
		return d.syntax(err)
	}
	if len(compact) > fsm.MaxSourceOptionsBytes {
		return d.invalid("options", "is longer than "+strconv.Itoa(fsm.MaxSourceOptionsBytes)+" bytes")
	}
	*dst = optionalJSON{set: true}
	if len(compact) > len(`{}`) {
		dst.value = compact
	}
	return nil
}

func (d *decoder) secrets(dst *[]string) *problem {
	all := []string{}
	isNull, p := d.elements("secrets", fsm.MaxSourceSecrets, func(name string) *problem {
		var secret string
		if p := d.text(&secret, name, maxSecretBytes); p != nil {
			return p
		}
		switch {
		case secret == "":
			return d.invalid(name, "is not a string")
		case slices.Contains(all, secret):
			return d.invalid("secrets", "has an element twice")
		}
		all = append(all, secret)
		return nil
	})
	if !isNull {
		*dst = all
	}
	return p
}

func (d *decoder) retryDelays(dst *[]int64) *problem {
	all := []int64{}
	isNull, p := d.elements("retryDelaysSeconds", fsm.MaxRetryDelays, func(name string) *problem {
		var seconds optionalInt
		if p := d.integer(&seconds, name, 0, fsm.MaxRetryDelayMs/1000); p != nil {
			return p
		}
		if !seconds.set {
			return d.invalid(name, "is not an integer")
		}
		all = append(all, seconds.value)
		return nil
	})
	if !isNull {
		*dst = all
	}
	return p
}

// elements calls each for each element of an array, with its name; each must read the element.
func (d *decoder) elements(name string, limit int, each func(name string) *problem) (isNull bool, p *problem) {
	if isNull, p := d.null(); isNull || p != nil {
		return isNull, p
	}
	if p := d.expect(name, jsontext.KindBeginArray, "an array"); p != nil {
		return false, p
	}
	if _, err := d.json.ReadToken(); err != nil {
		return false, d.syntax(err)
	}
	for i := 0; d.json.PeekKind() != jsontext.KindEndArray; i++ {
		if i == limit {
			return false, d.invalid(name, "has more than "+strconv.Itoa(limit)+" elements")
		}
		if p := each(name + "[" + strconv.Itoa(i) + "]"); p != nil {
			return false, p
		}
	}
	_, err := d.json.ReadToken()
	return false, d.syntax(err)
}
