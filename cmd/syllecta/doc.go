// Command syllecta is the whole product in one binary: the production node (server), a throw-away cluster on this
// machine (dev), a load generator (bench), and the verbs that administer tenants and API keys over HTTP.
//
// Each verb has a file of its own. Data goes to stdout, messages and logs to stderr; with --json stdout carries JSON
// only. What a failure means is told by the exit code, see [exitCode].
//
// # Settings of a node
//
// settings_table.go is the one place that knows the settings of `syllecta server`: flags, environment names, keys of
// the configuration file, help and the check of each value are all made from it. A flag wins over the environment, the
// environment over the file, the file over the default.
//
// # The dev cluster
//
// `syllecta dev` runs real processes of the same binary, so that what a user kills and watches is what runs in
// production. No child outlives it, however it ends: each holds the reading end of a pipe and exits when it is closed.
package main
