package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	minAdminTokenBytes = 16
	maxAdminTokenBytes = 4096
	othersMask         = 0o077 // the permission bits of everybody but the owner
)

// readAdminToken reads the admin token from a file, which must be readable by its owner alone.
func readAdminToken(path string) (string, error) { return readSecret("admin token", path) }

// readSecret reads what is named so from a file, which must be readable by its owner alone.
func readSecret(what, path string) (string, error) {
	content, err := readPrivate(what, path, maxAdminTokenBytes+1)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(content))
	if len(secret) < minAdminTokenBytes || len(content) > maxAdminTokenBytes {
		return "", usageErrorf("%s file %s: it has %d bytes; it must have %d to %d",
			what, path, len(secret), minAdminTokenBytes, maxAdminTokenBytes)
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r == ',' || r > '~' }) {
		return "", usageErrorf("%s file %s: it may hold visible ASCII characters only, and no comma", what, path)
	}
	return secret, nil
}

// readPrivate reads at most limit bytes of what is named so from a file, which must be readable by its owner alone.
func readPrivate(what, path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s file: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s file: %w", what, err)
	}
	if !info.Mode().IsRegular() {
		return nil, usageErrorf("%s file %s is not a regular file", what, path)
	}
	if mode := info.Mode().Perm(); mode&othersMask != 0 {
		return nil, usageErrorf("%s file %s can be read by others (mode %04o); run: chmod 600 %s", what, path, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("%s file: %w", what, err)
	}
	return content, nil
}
