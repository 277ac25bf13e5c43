// Package test runs clusters of real processes of the real binary and looks at them from outside, as a client, an
// operator or a fault would.
//
// The binary is built once per run (or named with -binary), every node is a process of its own with its own data
// directory, ports and log file, and nothing in here reaches into a process but through its HTTP API, signals and
// files. What is tested:
//
//	TestGuide       the calls of the public guide, by curl, through every node
//	TestRedirect    plain clients that follow redirects, and what a ticket is good for
//	TestForward     the same without redirects: --followers=forward
//	TestContention  many clients on one key: one lock, everybody else the same result
//	TestKill        kill -9, SIGSTOP and power loss under load; the history is checked for linearizability
//	TestRestart     snapshots, logs, a follower that was away for long, a damaged file
//	TestMalformed   a table of what must be refused, how, and that nothing changes by it
//	TestSmuggling   requests whose end two parsers may see in different places
//	TestSlowClients requests that do not get on
//	TestNoLeader    what a node without a majority still answers
//	TestForm        how nodes find each other, and what they say if they do not
//	TestLoad        claims per second and CPU per claim; only with -load
//	TestModel       that the checker behind TestKill refuses what must never happen; TestFences likewise
//
// Flags, behind the package on the command line of go test:
//
//	-binary=PATH   test this binary instead of building one
//	-kills=N       how many nodes TestKill kills one by one (50 take two minutes: raise -timeout for many)
//	-seed=N        repeats the choices of TestKill
//	-load=D        how long TestLoad runs
//
// Tests wait for conditions, never for fixed times, and assert no wall-clock figures: they report them.
package test
