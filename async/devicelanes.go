package async

import (
	"sync"

	"github.com/fmmap-go/fmmap/internal/lane"
)

// maxDeviceLanes bounds the lanes that the devices of a pool have for one kind of
// work. Devices beyond that share them.
const maxDeviceLanes = 16

// deviceLanes are lanes of one shape, one for each device that there is work for,
// so that a slow device holds up its own work alone. Those of devices without work
// are used again. Their owner guards them.
type deviceLanes struct {
	group *lane.Group
	shape Lane
	all   []deviceLane // at most maxDeviceLanes; the first is the pool's lane shape
}

// A deviceLane is a lane, and how many devices it serves now.
type deviceLane struct {
	*lane.Lane
	devices int
}

func newDeviceLanes(g *lane.Group, shape Lane) deviceLanes {
	return deviceLanes{group: g, shape: shape, all: []deviceLane{{Lane: g.Lane(int(shape))}}}
}

// join returns the index of a lane that serves as few devices as any, which serves
// one more from now on, until leave. It makes another lane if all serve some and
// there may be more. With notFirst it is not the first lane.
func (d *deviceLanes) join(notFirst bool) int {
	best := 0
	for i, l := range d.all {
		if l.devices < d.all[best].devices || best == 0 && notFirst {
			best = i
		}
	}
	if (d.all[best].devices > 0 || best == 0 && notFirst) && len(d.all) < maxDeviceLanes {
		best = len(d.all)
		d.all = append(d.all, deviceLane{Lane: d.group.Add(int(d.shape))})
	}
	d.all[best].devices++
	return best
}

func (d *deviceLanes) leave(i int) { d.all[i].devices-- }

// stats returns the figures of all lanes together. mu guards d.
func (d *deviceLanes) stats(mu *sync.Mutex) lane.Stats {
	mu.Lock()
	all := d.all // elements up to its length keep their Lane
	mu.Unlock()
	s := all[0].Stats()
	for i := 1; i < len(all); i++ {
		s = s.Plus(all[i].Stats())
	}
	return s
}
