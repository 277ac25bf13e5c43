package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goBuild builds a command as output. where is a directory of the module that it is a part of.
func goBuild(ctx context.Context, where, command, output string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", output, command)
	build.Dir = where
	said, err := build.CombinedOutput()
	return complaint("building "+command, err, said)
}

// complaint is the error of a program that was run, with the last line that it printed, if any.
func complaint(what string, err error, said []byte) error {
	if last := lastLine(said); err != nil && last != "" {
		err = fmt.Errorf("%w: %s", err, last)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// versionOf returns the first line that a program prints of itself.
func versionOf(ctx context.Context, program string, args ...string) (string, error) {
	said, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", complaint(filepath.Base(program), err, said)
	}
	first, _, _ := strings.Cut(string(said), "\n")
	return strings.TrimSpace(first), nil
}

func lastLine(text []byte) string {
	trimmed := strings.TrimSpace(string(text))
	return trimmed[strings.LastIndexByte(trimmed, '\n')+1:]
}

// findProgram looks for an installed program on the path and then in other places, the last of them first: of several
// versions the newest.
func findProgram(name string, elsewhere ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return filepath.Abs(path)
	}
	for _, pattern := range elsewhere {
		found, err := filepath.Glob(filepath.Join(pattern, name))
		if err != nil {
			return "", err
		}
		for _, path := range slices.Backward(found) {
			if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", errors.New(name + " is not installed")
}
