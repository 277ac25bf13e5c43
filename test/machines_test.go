package test

import (
	"context"
	"flag"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

var (
	machinesFlag      = flag.Bool("machines", false, "run TestMachines: a real `vagrant up` of three machines")
	machinesCacheFlag = flag.String("machines-cache", "", "`directory` that keeps TestMachines' root file system for the next run")
)

// machinesCleanup is how long the machines have to go away when the test's time is over.
const machinesCleanup = 90 * time.Second

// TestMachines brings up what users bring up, see machines/run.sh: three machines with the Debian package, under
// systemd, secured by TLS. It kills the leader, removes a node, and leaves nothing behind.
func TestMachines(t *testing.T) {
	if !*machinesFlag {
		t.Skip("a real vagrant up takes minutes, root, and vagrant, mmdebstrap and systemd-container: ask for it with -machines")
	}
	ctx := t.Context()
	if deadline, ok := t.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-machinesCleanup))
		defer cancel()
	}
	var args []string
	if *machinesCacheFlag != "" {
		args = append(args, *machinesCacheFlag)
	}
	cmd := exec.CommandContext(ctx, "machines/run.sh", args...)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	// The script and all that it runs get the signal; the script then cleans up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = machinesCleanup
	if err := cmd.Run(); err != nil {
		t.Fatalf("machines/run.sh: %v", err)
	}
}
