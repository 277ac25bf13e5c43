package fsm

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// wantValidated wants Validate to say of a command what encoding and decoding it does.
func wantValidated(tb interface{ Fatalf(string, ...any) }, cmd Command) {
	_, decoded := Decode(Encode(cmd))
	switch err := Validate(cmd); {
	case (err == nil) != (decoded == nil):
		tb.Fatalf("%T: validated: %v, decoded: %v", cmd, err, decoded)
	case err != nil && !errors.Is(err, ErrMalformed):
		tb.Fatalf("%T: %v, want ErrMalformed", cmd, err)
	}
}

// Validate agrees with the decoder about commands of every type, whichever of their members are out of bounds.
func TestValidateAgreesWithDecode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		cmd := reflect.New(reflect.TypeOf(anyCommand().Draw(rt, "command"))).Elem()
		distort(rt, cmd)
		wantValidated(rt, cmd.Interface().(Command))
	})
}

// distort sets every member to something within its bounds or just beyond them.
func distort(rt *rapid.T, v reflect.Value) {
	number := func(choice ...int64) int64 { return rapid.SampledFrom(choice).Draw(rt, "number") }
	length := func() int {
		return int(number(1, 1, 1, 1, 1, 0, 2, MaxSlugBytes, MaxNameBytes, MaxNameBytes+1, MaxOwnerBytes+OwnerPrefixBytes,
			MaxOwnerBytes+OwnerPrefixBytes+1, MaxFingerprintBytes, MaxFingerprintBytes+1, MaxKeyBytes, MaxKeyBytes+1,
			MaxHeadersBytes, MaxHeadersBytes+1, MaxBodyBytes, MaxBodyBytes+1))
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			distort(rt, v.Field(i))
		}
	case reflect.String:
		v.SetString(string(make([]byte, length())))
	case reflect.Slice:
		v.SetBytes(make([]byte, length()))
	case reflect.Bool:
		v.SetBool(number(0, 1) == 1)
	case reflect.Int64:
		v.SetInt(number(1_000, 1_000, 1_000, -1, 0, 1, MinLeaseMs-1, MaxLeaseMs, MaxLeaseMs+1, MaxTTLMs, MaxTTLMs+1,
			MaxStampMs, MaxStampMs+1, -1<<63, 1<<63-1))
	case reflect.Uint16:
		v.SetUint(uint64(number(200, 200, MinStatus-1, MinStatus, MaxStatus, MaxStatus+1, 1<<16-1)))
	case reflect.Uint32:
		v.SetUint(uint64(number(1, 1, 1, 0, MaxTenants, MaxTenants+1, MaxFeatureLevel, MaxFeatureLevel+1, 1<<32-1)))
	}
}

func TestValidateGoldenCommands(t *testing.T) {
	t.Parallel()
	for _, g := range allGoldenCommands() {
		wantValidated(t, g.cmd)
		if err := Validate(g.cmd); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
	for _, cmd := range []Command{&Delete{ID: recordID("k")}, &Delete{}} {
		wantValidated(t, cmd)
	}
}

func TestAppendCommand(t *testing.T) {
	t.Parallel()
	var all []byte
	for _, g := range allGoldenCommands() {
		start := len(all)
		all = AppendCommand(all, g.cmd)
		if string(all[start:]) != string(Encode(g.cmd)) {
			t.Errorf("%s is appended as other bytes", g.name)
		}
	}
}
