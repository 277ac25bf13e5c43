package fsm

// grantBits is the width of the grant counter within a fence; the epoch stands above it. Together they stay below
// 2^53, so that a fence is exact wherever JSON numbers are read as doubles.
const (
	grantBits = 40
	maxEpoch  = 1<<(53-grantBits) - 1
)

// nextFence returns the number for a new grant, greater than all before.
func (m *Machine) nextFence() uint64 {
	m.grants++
	if m.grants == 1<<grantBits {
		m.epoch, m.grants = m.epoch+1, 1
	}
	return m.lastFence()
}

// lastFence bounds the fences of all grants so far.
func (m *Machine) lastFence() uint64 { return m.epoch<<grantBits | m.grants }

// Epoch is the part of the fences that is raised when a cluster goes on from a state that may lack grants.
func (m *Machine) Epoch() uint64 { return m.epoch }

// RaiseEpoch makes every fence from now on greater than any of the epochs before to, also those of grants that this
// state has never seen: a cluster that is recovered or restored may have lost some. It does nothing and reports false
// if to is not above the current epoch, or above 1<<13 - 1, from where fences would reach 2^53.
//
// It is no command: whoever calls it must see to it that all nodes go on from the raised state.
func (m *Machine) RaiseEpoch(to uint64) bool {
	if to <= m.epoch || to > maxEpoch {
		return false
	}
	m.epoch, m.grants = to, 0
	return true
}
