package main

import (
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// settings are the effective settings of a node, checked.
type settings struct {
	NodeID      string
	ClusterName string
	DataDir     string

	HTTPAddr        string
	HTTPAdvertise   string // base URL, no trailing slash
	RaftAddr        string
	RaftAdvertise   string
	GossipAddr      string // "" for a node without gossip
	GossipAdvertise string

	Bootstrap       bool
	BootstrapExpect int // 1 with Bootstrap, 0 never forms a cluster
	Join            []string
	NonVoter        bool
	PromoteAfter    time.Duration

	NodeCAFile, NodeCertFile, NodeKeyFile string // all or none
	HTTPCertFile, HTTPKeyFile             string // both or none
	GossipKeyFile                         string

	BackupDir   string
	BackupEvery time.Duration
	BackupKeep  int

	AdminTokenFile       string
	KEKFile              string
	CallbackAllowCIDR    []netip.Prefix
	CallbackPorts        []uint16
	MaxRecordBodyBytes   int
	MaxRecordTTL         time.Duration
	DefaultTTL           time.Duration
	DefaultLease         time.Duration
	Followers            string
	RequestTimeout       time.Duration
	MaxConnections       int
	FailedAuthPerSecond  int // 0 is no limit
	RequestsPerAddress   int // per second; 0 is no limit
	RaftMultiplier       int
	SnapshotThreshold    uint64
	LogStore             string
	StoreDeadline        time.Duration
	DiskFreeFloor        int64
	MemoryLimit          int64 // bytes; 0 leaves it to the environment
	LogLevel             string
	LogFormat            string
	AllowPublicPlaintext bool
}

// setting is one row of the table from which flags, environment names, file keys, help and checks are made.
type setting struct {
	name    string   // as a flag, without the dashes
	unit    string   // what a value is, in a word
	def     string   // the default, spelled as a user would
	allowed string   // which values are taken, in words: for the help and for the error
	usage   string   // one sentence, in lower case and without the full stop
	alias   string   // a second, older environment name; "" for none
	choices []string // the values, where they are few: for shell completion
	list    bool     // may be repeated, or given as a comma list
	boolean bool     // as a flag it needs no value

	// set parses a value into settings and reports whether it is allowed.
	set func(s *settings, value string) bool
}

// env is the setting's name in the environment.
func (s setting) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// key is the setting's name in the configuration file.
func (s setting) key() string { return strings.ReplaceAll(s.name, "-", "_") }

// help is the description of the setting's flag.
func (s setting) help() string {
	def := s.def
	if def == "" {
		def = "none"
	}
	text := s.usage + "; " + s.allowed + " (default " + def + ") [" + s.env()
	if s.alias != "" {
		text += " or " + s.alias
	}
	return text + "]"
}

// settingNamed returns the row of that flag name.
func settingNamed(name string) (setting, bool) {
	for _, s := range settingsTable {
		if s.name == name {
			return s, true
		}
	}
	return setting{}, false
}

// completeSettings teaches the shell completion the values of settings that have few.
func completeSettings(cmd *cobra.Command) {
	for _, s := range settingsTable {
		if len(s.choices) > 0 {
			// It fails only for a flag that does not exist or was registered twice, which a test would show.
			_ = cmd.RegisterFlagCompletionFunc(s.name, cobra.FixedCompletions(s.choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}
