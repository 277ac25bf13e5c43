package fsm

import (
	"errors"
	"maps"
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
		drawn := anyCommand().Draw(rt, "command")
		cmd := reflect.New(reflect.TypeOf(drawn)).Elem()
		if rapid.Bool().Draw(rt, "from what was drawn") {
			cmd.Set(reflect.ValueOf(drawn))
		}
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
	case reflect.Interface: // the command of an Audited
		all := allGoldenCommands()
		v.SetZero()
		if i := int(rapid.IntRange(0, len(all)).Draw(rt, "audited")); i < len(all) {
			inner := reflect.New(reflect.TypeOf(all[i].cmd)).Elem()
			inner.Set(reflect.ValueOf(all[i].cmd))
			if all[i].cmd.commandType() != TypeAudited && number(0, 1) == 1 {
				distort(rt, inner)
			}
			v.Set(inner)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(make([]byte, length()))
			break
		}
		n := int(number(0, 1, 2, MaxTallyCounts, MaxTallyCounts+1))
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			if i < 2 {
				distort(rt, v.Index(i))
			} else {
				v.Index(i).Set(v.Index(0))
			}
		}
	case reflect.Uint8:
		v.SetUint(uint64(number(1, 1, 0, int64(meterEnd)-1, int64(meterEnd), 255)))
	case reflect.Bool:
		v.SetBool(number(0, 1) == 1)
	case reflect.Int64:
		v.SetInt(number(1_000, 1_000, 1_000, -1, 0, 1, MinLeaseMs-1, MaxLeaseMs, MaxLeaseMs+1, MaxTTLMs, MaxTTLMs+1,
			MaxStampMs, MaxStampMs+1, MaxRequestsPerSecond, MaxRequestsPerSecond+1, MaxMonthlyClaims, MaxMonthlyClaims+1,
			maxTallyCount, maxTallyCount+1, MaxBodyBytes, MaxBodyBytes+1, -1<<63, 1<<63-1))
	case reflect.Uint16:
		v.SetUint(uint64(number(200, 200, MinStatus-1, MinStatus, MaxStatus, MaxStatus+1, 1<<16-1)))
	case reflect.Uint32:
		v.SetUint(uint64(number(1, 1, 1, 0, MaxTenants, MaxTenants+1, MaxFeatureLevel, MaxFeatureLevel+1,
			int64(AllScopes), int64(AllScopes)+1, 1<<32-1)))
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

// Of what an Audited must not hold, nothing reaches the log, and the asking does no harm.
func TestValidateRefusesWhatIsNotAuditable(t *testing.T) {
	t.Parallel()
	allowed := make(map[CommandType]bool)
	for _, g := range allGoldenCommands() {
		cmd := Audited{goldenBy, g.cmd}
		wantValidated(t, cmd)
		if Validate(cmd) == nil {
			allowed[g.cmd.commandType()] = true
		}
	}
	want := map[CommandType]bool{TypePutPlan: true, TypeDeletePlan: true, TypeCreateTenant: true, TypeUpdateTenant: true,
		TypeCreateKey: true, TypeRevokeKey: true, TypeRetireMember: true, TypePutDataKey: true, TypePutSource: true,
		TypeDeleteSource: true, TypeReplayEvents: true, TypeIgnoreEvents: true}
	if !maps.Equal(allowed, want) {
		t.Errorf("an Audited may hold commands of types %v, want %v", allowed, want)
	}
	deep := Command(Audited{goldenBy, DeletePlan{"p"}})
	for range 100 {
		deep = Audited{goldenBy, deep}
	}
	for _, cmd := range []Command{Audited{}, Audited{By: goldenBy}, Audited{goldenBy, Audited{}}, deep} {
		wantValidated(t, cmd)
		if err := Validate(cmd); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v, want ErrMalformed", cmd, err)
		}
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
