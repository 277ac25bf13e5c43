package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	gotoml "github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"
)

// flagValue is a setting on the command line. It is kept as text until every source has been read.
type flagValue struct {
	setting setting
	value   string
}

func (f *flagValue) String() string   { return f.value }
func (f *flagValue) Type() string     { return f.setting.unit }
func (f *flagValue) IsBoolFlag() bool { return f.setting.boolean }

func (f *flagValue) Set(value string) error {
	if f.setting.list && f.value != "" {
		value = f.value + "," + value
	}
	f.value = value
	return nil
}

// addSettingFlags gives flags one flag for each setting.
func addSettingFlags(flags *pflag.FlagSet) {
	for _, s := range settingsTable {
		flag := flags.VarPF(&flagValue{setting: s}, s.name, "", s.help())
		if s.boolean {
			flag.NoOptDefVal = "true"
		}
	}
}

// loaded is what came out of the sources.
type loaded struct {
	settings
	changed []slog.Attr // the settings that somebody gave another value than the default, as given
}

// source is one place where settings come from. spell says how a setting is spelled there, for errors.
type source struct {
	provider koanf.Provider
	parser   koanf.Parser
	spell    func(setting) string
}

// loadSettings reads all sources, the later ones win, and checks every value.
func loadSettings(flags *pflag.FlagSet, environ []string, configFile string) (loaded, error) {
	values := koanf.New(keyDelimiter)
	origin := map[string]func(setting) string{}
	for _, src := range sources(flags, environ, configFile) {
		given := koanf.New(keyDelimiter)
		if err := given.Load(src.provider, src.parser); err != nil {
			return loaded{}, usageErrorf("cannot read the configuration file %s: %w", configFile, tomlError(err))
		}
		if err := refuseUnknown(given.Keys(), configFile); err != nil {
			return loaded{}, err
		}
		for _, key := range given.Keys() {
			origin[key] = src.spell
		}
		if err := values.Merge(given); err != nil {
			return loaded{}, fmt.Errorf("merging settings: %w", err)
		}
	}
	return checked(values, origin)
}

// keyDelimiter separates the levels of nested tables; no setting is nested, so a key that has it is an unknown one.
const keyDelimiter = "."

func sources(flags *pflag.FlagSet, environ []string, configFile string) []source {
	var all []source
	if configFile != "" {
		all = append(all, source{file.Provider(configFile), toml.Parser(),
			func(s setting) string { return s.key() + " in " + configFile }})
	}
	return append(all,
		source{environment(environ, func(s setting) string { return s.alias }), nil,
			func(s setting) string { return s.alias }},
		source{environment(environ, setting.env), nil, setting.env},
		source{posflag.ProviderWithValue(flags, keyDelimiter, nil, onlySettings), nil,
			func(s setting) string { return "--" + s.name }},
	)
}

// environment provides the settings found in the environment under the names that spell gives them.
func environment(environ []string, spell func(setting) string) koanf.Provider {
	keys := map[string]string{}
	for _, s := range settingsTable {
		keys[spell(s)] = s.key()
	}
	delete(keys, "")
	return env.Provider(keyDelimiter, env.Opt{
		EnvironFunc:   func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) { return keys[name], value },
	})
}

// onlySettings drops the flags of the verb that are no settings, such as --config.
func onlySettings(name, value string) (string, any) {
	s, ok := settingNamed(name)
	if !ok {
		return "", nil
	}
	return s.key(), value
}

// checked parses the merged values, and the defaults of what nobody gave.
func checked(values *koanf.Koanf, origin map[string]func(setting) string) (loaded, error) {
	var l loaded
	spell := func(s setting) string {
		if at, ok := origin[s.key()]; ok {
			return at(s)
		}
		return "--" + s.name
	}
	for _, s := range settingsTable {
		value := s.def
		if values.Exists(s.key()) {
			value = valueText(values.Get(s.key()), s.list)
		}
		if !s.set(&l.settings, value) {
			return loaded{}, usageErrorf("%s: %q is not allowed; it must be %s", spell(s), shorten(value), s.allowed)
		}
		if value != s.def {
			l.changed = append(l.changed, slog.String(s.key(), value))
		}
	}
	if !values.Exists("default_ttl_seconds") {
		l.DefaultTTL = min(l.DefaultTTL, l.MaxRecordTTL) // a shorter maximum alone is no contradiction
	}
	return l, l.settings.reconcile(spell)
}

// valueText spells a value of any source as a flag would.
func valueText(value any, list bool) string {
	items, ok := value.([]any)
	if !ok || !list {
		return fmt.Sprint(value)
	}
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = fmt.Sprint(item)
	}
	return strings.Join(parts, ",")
}

// refuseUnknown refuses a key that is no setting: a misspelt one would otherwise be ignored in silence.
func refuseUnknown(keys []string, configFile string) error {
	known := make([]string, len(settingsTable))
	for i, s := range settingsTable {
		known[i] = s.key()
	}
	for _, key := range keys {
		if near := nearest(key, known); near != key {
			return usageErrorf("unknown setting %q in %s; did you mean %q?", key, configFile, near)
		}
	}
	return nil
}

// tomlError adds the position to a syntax error of the configuration file.
func tomlError(err error) error {
	var syntax *gotoml.DecodeError
	if !errors.As(err, &syntax) {
		return err
	}
	line, column := syntax.Position()
	return fmt.Errorf("line %d, column %d: %w", line, column, err)
}
