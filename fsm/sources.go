package fsm

import "slices"

// putDataKey gives a tenant its data key. The first one stays: what was encrypted under it is in the state by then.
func (m *Machine) putDataKey(c PutDataKey) Result {
	old := m.directory.Tenant(c.Tenant)
	if old == nil {
		return Result{Outcome: NotFound}
	}
	if c.Replace && old.DataKey != string(c.Old) {
		return Result{Outcome: Conflict, Tenant: old}
	}
	if !c.Replace && old.DataKey != "" {
		return Result{Outcome: OK, Tenant: old, Existed: true}
	}
	t := *old
	t.DataKey = string(c.Wrapped)
	d := m.directory.clone()
	d.setTenant(&t)
	m.directory = d
	return Result{Outcome: OK, Tenant: &t}
}

func (m *Machine) putSource(c PutSource) Result {
	d := m.directory
	s := c.Source
	if d.Tenant(s.Tenant) == nil {
		return Result{Outcome: NotFound}
	}
	old := d.Source(s.Tenant, s.PublicID)
	switch {
	case c.IfRevision == 0:
		if old != nil || d.SourceNamed(s.Tenant, s.Provider, s.Name) != nil {
			return Result{Outcome: Conflict, Source: old}
		}
		if len(d.sourcesByTenant[s.Tenant]) >= MaxSourcesPerTenant {
			return Result{Outcome: LimitReached, Limit: MaxSourcesPerTenant}
		}
	case old == nil:
		return Result{Outcome: NotFound}
	case old.Revision != c.IfRevision || old.Provider != s.Provider || old.Name != s.Name:
		return Result{Outcome: Conflict, Source: old}
	case m.overlapsTwice(&c, old):
		return Result{Outcome: LimitReached, Source: old, Limit: 1}
	}
	m.events.changes++
	d = d.clone()
	m.dateSource(d, &s, old)
	s.Previous = m.previousSecret(&c, old)
	d.setSource(&s)
	m.noteOverlap(&s, old)
	m.directory = d
	return Result{Outcome: OK, Source: &s, Existed: old != nil}
}

// dateSource fills in what the machine assigns.
func (m *Machine) dateSource(d *Directory, s, old *Source) {
	s.UpdatedAtMs, s.Revision = m.clockMs, m.index
	if old == nil {
		d.lastSource++
		s.ID, s.CreatedAtMs = d.lastSource, m.clockMs
	} else {
		s.ID, s.CreatedAtMs = old.ID, old.CreatedAtMs
	}
	s.Secrets = slices.Clone(s.Secrets)
	for i := range s.Secrets {
		s.Secrets[i].CreatedAtMs = m.clockMs
		if old == nil {
			continue
		}
		for _, known := range old.Secrets {
			if known.PublicID == s.Secrets[i].PublicID {
				s.Secrets[i].CreatedAtMs = known.CreatedAtMs
			}
		}
	}
}

// setSource adds or replaces a source of a directory that nobody else sees yet.
func (d *Directory) setSource(s *Source) {
	d.sources[s.ID] = s
	list := slices.Clone(d.sourcesByTenant[s.Tenant])
	if at := slices.IndexFunc(list, func(other *Source) bool { return other.ID == s.ID }); at >= 0 {
		list[at] = s
	} else {
		list = append(list, s)
	}
	d.sourcesByTenant[s.Tenant] = list
}

func (m *Machine) deleteSource(c DeleteSource) Result {
	d := m.directory
	s := d.Source(c.Tenant, c.PublicID)
	if s == nil {
		return Result{Outcome: NotFound}
	}
	if n := m.events.waiting(s.ID); n > 0 {
		return Result{Outcome: Conflict, Source: s, Count: n}
	}
	d = d.clone()
	delete(d.sources, s.ID)
	d.sourcesByTenant[c.Tenant] = slices.DeleteFunc(slices.Clone(d.sourcesByTenant[c.Tenant]),
		func(other *Source) bool { return other.ID == s.ID })
	m.noteOverlap(nil, s)
	m.directory = d
	return Result{Outcome: OK, Existed: true, Source: s}
}
