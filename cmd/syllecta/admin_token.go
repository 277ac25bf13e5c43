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
func readAdminToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("admin token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("admin token file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", usageErrorf("admin token file %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&othersMask != 0 {
		return "", usageErrorf("admin token file %s can be read by others (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxAdminTokenBytes+1))
	if err != nil {
		return "", fmt.Errorf("admin token file: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if len(token) < minAdminTokenBytes || len(content) > maxAdminTokenBytes {
		return "", usageErrorf("admin token file %s: the token has %d bytes; it must have %d to %d",
			path, len(token), minAdminTokenBytes, maxAdminTokenBytes)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r == ',' || r > '~' }) {
		return "", usageErrorf("admin token file %s: the token may hold visible ASCII characters only, and no comma", path)
	}
	return token, nil
}
