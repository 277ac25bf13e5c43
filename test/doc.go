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
//	TestFormRaces   founders that die, that are too many, or see different nodes: never more than one cluster
//	TestPartition   every way in which a network comes apart, under load; the history is checked as in TestKill
//	TestRollingRestart  SIGTERM and restart of one node after the other under load: how long nobody was served
//	TestAddressChange   nodes that come back elsewhere: one, the leader, several, all
//	TestSecure      certificates, gossip key, HTTPS: who is turned away, a flood, rotation without a restart
//	TestBackup      backups taken and restored by the command line, also while the leader is killed
//	TestMembership  joining, promoting, removing, leaving, under load; what a removed node says
//	TestFullDisk    disks filled to the last byte: claims refused, results stored, recovery by itself
//	TestHungDisk    the leader's disk stands still: another leads
//	TestConvertLogStore  logs converted one after the other under load, by commands that are killed
//	TestRecover     two of three destroyed for good, and back from the third
//	TestRunbook     every command of OPERATIONS.md, pasted in order
//	TestMachines    vagrant up of three machines, as containers; only with -machines
//	TestLoad        claims per second and CPU per claim; only with -load
//	TestLarge       a cluster of many records beside an empty one: memory, restart, growth, a snapshot; only with -records
//	TestExpiry      claims while many records fall due at once; only with -records
//	TestModel       that the checker behind TestKill refuses what must never happen; TestFences likewise
//
// Flags, behind the package on the command line of go test:
//
//	-binary=PATH   test this binary instead of building one
//	-kills=N       how many nodes TestKill kills one by one (50 take two minutes: raise -timeout for many), how often
//	               TestBackup kills the leader, and twice as often as TestConvertLogStore kills a conversion
//	-keys=N        how many keys 64 clients claim in TestContention
//	-events=N      how many events TestWebhooks sends
//	-seed=N        repeats the choices of TestKill
//	-pause=D       how long clients pause at most between two calls while there are faults: the load beside them
//	-cut=D         how long TestPartition keeps a node cut off: 75s is longer than gossip remembers the dead (six
//	               minutes in all)
//	-rounds=N      how often TestRollingRestart restarts all nodes
//	-log-store=S   how all nodes keep their log, boltdb or wal
//	-records=N     how many records TestLarge and TestExpiry restore
//	-load=D        how long TestLoad runs. It fails if there was an election: nothing happened that needs one
//
// What takes longer than one wants to wait for each time, with figures to look at:
//
//	go test ./test -v -timeout 20m -run 'TestKill$' -kills=100
//	go test ./test -v -run TestContention -keys=1000
//	go test ./test -v -timeout 20m -run TestPartition -cut=75s
//	go test ./test -v -run TestRollingRestart -rounds=20
//	go test ./test -v -timeout 20m -run TestLoad -load=10m
//	go test ./test -v -timeout 60m -run TestLarge -records=10000000
//	go test ./test -v -timeout 20m -run TestExpiry -records=1000000
//
// The verb syllecta bench measures any cluster, and test/bench, a module of its own, puts the same work on ours and on
// its peers.
//
// TestPartition, TestSecure and parts of others give every node a machine of its own: a network namespace, with an
// address, around a bridge with rules for what is lost. That needs root, ip and nft; elsewhere they are skipped, and
// say why. The namespaces have no names and end with the test binary, so nothing is ever left over.
//
// Tests wait for conditions, never for fixed times, and assert no wall-clock figures: they report them.
package test
