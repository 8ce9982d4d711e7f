package track

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"tcplife/decode"
	"tcplife/decode/capture"
)

// equal compares connections in all that lasts from segment to segment.
func equal(t *testing.T, c, d *Conn) bool {
	t.Helper()
	strip := func(c *Conn) Conn {
		x := *c
		x.notes, x.order, x.at, x.ref, x.hash = 0, 0, 0, 0, 0
		x.held, x.holes, x.withdrawals, x.candidates, x.answer = nil, nil, nil, nil, nil
		for i := range x.ends {
			x.ends[i].hist = append([]Transition{}, x.ends[i].hist...)
			x.ends[i].cover.by = Transition{}
		}
		return x
	}
	x, y := strip(c), strip(d)
	return reflect.DeepEqual(x, y)
}

// checkSmall packs c, if it fits, and compares what is unpacked. It reports
// whether it fits.
func checkSmall(t *testing.T, c *Conn) bool {
	t.Helper()
	var s smallConn
	if !s.pack(c) {
		return false
	}
	d := newConn()
	s.unpack(d)
	if !equal(t, c, d) {
		t.Fatalf("packed and unpacked:\n%v", diff(reflect.ValueOf(*d), reflect.ValueOf(*c)))
	}
	return true
}

// TestSmallKeepsAll sets each field of a common connection in turn: either it
// does not fit any more, or unpacking gives the field back.
func TestSmallKeepsAll(t *testing.T) {
	var common *Conn
	tr := New(Config{})
	tr.Observe = func(c *Conn, _ *decode.Segment, _ Notes) {
		common = newConn()
		h0, h1 := c.ends[0].hist, c.ends[1].hist
		*common = *c
		common.ends[0].hist = append([]Transition{}, h0...)
		common.ends[1].hist = append([]Transition{}, h1...)
	}
	for i, seg := range []decode.Segment{
		{Flags: decode.SYN, Seq: 99, Wnd: 1000},
		{Flags: decode.SYN | decode.ACK, Seq: 499, Ack: 100, Wnd: 1000},
		{Flags: decode.ACK, Seq: 100, Ack: 500, Wnd: 1000, Len: 10},
		{Flags: decode.ACK, Seq: 500, Ack: 110, Wnd: 1000, Len: 10},
	} {
		seg.Src, seg.Dst, seg.SrcPort, seg.DstPort = decode.Addr{15: 1}, decode.Addr{15: 2}, 40000, 80
		if i%2 == 1 {
			seg.Src, seg.Dst, seg.SrcPort, seg.DstPort = seg.Dst, seg.Src, seg.DstPort, seg.SrcPort
		}
		seg.Time, seg.Frame, seg.Wire = capture.Time(1000+i), uint64(7+i), 60
		tr.Segment(&seg)
	}
	if !checkSmall(t, common) {
		t.Fatal("a common connection does not fit")
	}
	skip := map[string]bool{
		"notes": true, "order": true, "at": true, "ref": true, "hash": true, "key": true, "ID": true, "context": true,
		"EndReason": true, "succeeded": true, "hist": true, "state": true, "initial": true, "addr": true, "port": true,
		"first": true, "client": true, "by": true, "holes": true,
	}
	var visit func(path string, v reflect.Value)
	visit = func(path string, v reflect.Value) {
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		defer v.Set(was)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; !skip[name] {
					visit(path+"."+name, v.Field(i))
				}
			}
			return
		case reflect.Array:
			for i := range v.Len() {
				visit(path, v.Index(i))
			}
			return
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			v.SetUint(v.Uint() ^ 1)
		case reflect.Int, reflect.Int32, reflect.Int64:
			v.SetInt(v.Int() ^ 1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		default:
			t.Fatalf("%s: a field of kind %v", path, v.Kind())
		}
		var s smallConn
		if !s.pack(common) {
			return
		}
		d := newConn()
		s.unpack(d)
		if !equal(t, common, d) {
			t.Errorf("%s: lost", path)
		}
	}
	visit("Conn", reflect.ValueOf(common).Elem())
}

// TestSizes documents what a connection costs between segments.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(loneSYN{}); n > 64 {
		t.Errorf("an unanswered SYN takes %d octets", n)
	}
	if n := unsafe.Sizeof(smallConn{}); n > 448 {
		t.Errorf("a common connection takes %d octets", n)
	}
	t.Logf("loneSYN %d, smallConn %d, Conn %d octets", unsafe.Sizeof(loneSYN{}), unsafe.Sizeof(smallConn{}), unsafe.Sizeof(Conn{}))
}

// TestLoneSYN holds a connection kept as one SYN to what it was.
func TestLoneSYN(t *testing.T) {
	tr := New(Config{})
	seg := decode.Segment{
		Time: capture.Time(time.Second), Frame: 3, Wire: 74, Src: v4Mapped([4]byte{10, 0, 0, 1}), Dst: v4Mapped([4]byte{10, 0, 0, 2}),
		SrcPort: 40000, DstPort: 80, Flags: decode.SYN | decode.ECE, Seq: 5, Wnd: 100, Opts: decode.OptScale | decode.OptTimestamps,
		Scale: 7, TSVal: 9, IPID: 4, HasIPID: true, Checksum: decode.ChecksumGood, TTL: 64,
	}
	var want *Conn
	tr.Observe = func(c *Conn, _ *decode.Segment, _ Notes) {
		want = newConn()
		*want = *c
		want.ends[0].hist = append([]Transition{}, c.ends[0].hist...)
	}
	tr.Segment(&seg)
	n := 0
	tr.Done = func(c *Conn) {
		n++
		c.EndReason = want.EndReason
		if !equal(t, c, want) {
			t.Errorf("got\n%+v\nwant\n%+v", *c, *want)
		}
	}
	if tr.store.lones.Len() != 1 {
		t.Error("not kept as one SYN")
	}
	tr.Finish()
	if n != 1 {
		t.Errorf("handed over %d times", n)
	}
}

// diff names the fields in which two structs differ.
func diff(a, b reflect.Value) []string {
	var l []string
	for i := range a.NumField() {
		name, x, y := a.Type().Field(i).Name, a.Field(i), b.Field(i)
		switch {
		case x.Kind() == reflect.Struct:
			for _, d := range diff(x, y) {
				l = append(l, name+"."+d)
			}
		case x.Kind() == reflect.Array && x.Type().Elem().Kind() == reflect.Struct:
			for j := range x.Len() {
				for _, d := range diff(x.Index(j), y.Index(j)) {
					l = append(l, fmt.Sprint(name, j, ".", d))
				}
			}
		default:
			if p, q := fmt.Sprint(x), fmt.Sprint(y); p != q {
				l = append(l, name+": "+p+" for "+q)
			}
		}
	}
	return l
}

// TestAdd holds segments that are added to what they do when taken at once.
func TestAdd(t *testing.T) {
	run := func(add bool) (out []string) {
		tr := New(Config{})
		tr.Done = func(c *Conn) {
			out = append(out, fmt.Sprint(c.ID, c.First, c.last, c.Client().State(), c.Server().State(), c.EndReason))
		}
		r := rand.New(rand.NewPCG(1, 2))
		now := capture.Time(1)
		for frame := uint64(1); frame < 5000; frame++ {
			var b [fuzzOctets]byte
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			seg, step := fuzzSegment(b[:])
			now = now.Add(step)
			seg.Time, seg.Frame, seg.Src[14], seg.Dst[14] = now, frame, b[6]&3, b[6]&3
			switch tick := b[0] < 20; {
			case tick && add:
				tr.AddTick(now, frame)
			case tick:
				tr.Tick(now, frame)
			case add:
				tr.Add(&seg)
			default:
				tr.Segment(&seg)
			}
		}
		tr.Finish()
		return out
	}
	now, later := run(false), run(true)
	if len(now) < 20 || !reflect.DeepEqual(now, later) {
		t.Errorf("%d connections at once, %d added", len(now), len(later))
	}
}
