// Command bench compares Syllecta with the systems that people take for the same work: acquiring a lock by creating a
// key that must not exist yet.
//
//	cd test/bench && go run . -rounds 3 -seconds 8 -connections 64,256,1
//
// Every peer runs on loopback with settings that survive a power loss, in temporary directories on a real disk, one at a
// time: start, warm up, measure, stop, remove. A round measures each of them once; rounds begin with another peer each
// time. What is printed are medians over the rounds. A peer that the machine lacks is named in the table with the
// reason. README.md says which settings are used, and what is not measured.
//
// It is a module of its own, so that the product depends on none of its peers.
package main
