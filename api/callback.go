package api

import (
	"errors"
	"net/url"

	"github.com/syllecta/syllecta/fsm"
)

// checkCallback refuses a callback URL that nothing could be delivered to. None at all is allowed.
func (s *Server) checkCallback(raw string) *problem {
	if raw == "" {
		return nil
	}
	if err := plainCallback(raw); err != nil {
		return invalidField.problem("callbackUrl %s", err)
	}
	if s.cfg.CheckCallback == nil {
		return nil
	}
	if err := s.cfg.CheckCallback(raw); err != nil {
		return invalidField.problem("callbackUrl is not allowed: %s", err)
	}
	return nil
}

// plainCallback reports what is wrong with the form of a callback URL.
func plainCallback(raw string) error {
	if fault := textFault(raw, fsm.MaxURLBytes); fault != "" {
		return errors.New(fault)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return errors.New("is not an absolute URL such as https://shop.example/hooks")
	case u.User != nil:
		return errors.New("has a user name or password in it, which would be shown to everybody who may see the source")
	case u.Fragment != "":
		return errors.New("has a fragment, which is never sent")
	default:
		return nil
	}
}
