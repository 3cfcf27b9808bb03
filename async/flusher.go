package async

import "sync"

// flushers run the flushes of each device on a lane of its own: a file system that
// is frozen or behind with its writing, or a device that is slow, would otherwise
// hold up those of all files.
type flushers struct {
	mu      sync.Mutex // guards what follows; the group's mu is taken within it
	devices map[uint64]*flusher
	lanes   deviceLanes
}

// A flusher is a device that flushes are queued or run for.
type flusher struct{ lane, flushes int }

// execute runs a task on the lane of the device, as Pool.execute does.
func (s *flushers) execute(device uint64, o op, task func(dropped error)) error {
	s.mu.Lock()
	d := s.devices[device]
	if d == nil {
		d = &flusher{lane: s.lanes.join(false)}
		s.devices[device] = d
	}
	d.flushes++
	l := s.lanes.all[d.lane].Lane
	s.mu.Unlock()
	err := executeIn(l, o, func(dropped error) {
		defer s.leave(device, d) // also after a panic
		task(dropped)
	})
	if err != nil {
		s.leave(device, d)
	}
	return err
}

func (s *flushers) leave(device uint64, d *flusher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.flushes--; d.flushes == 0 {
		s.lanes.leave(d.lane)
		delete(s.devices, device)
	}
}
