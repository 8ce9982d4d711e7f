package capture

// A frame of an observation that takes in several files is named by one number:
// the file's number above, the number in the file below. The file number of a
// single file is 0, so the frames of one are the numbers that Wireshark shows.
const (
	frameBits = 40 // 10^12 frames: a file of 16 TB of nothing but headers

	// MaxFiles is how many files an observation may have.
	MaxFiles = 1 << (64 - frameBits)
)

// JoinFrame returns the name of frame n of the given file.
func JoinFrame(file int, n uint64) uint64 { return uint64(file)<<frameBits | n }

// SplitFrame returns the file's number, from 0, and the frame's number in it,
// from 1, or 0 if frame is 0, which names none.
func SplitFrame(frame uint64) (file int, n uint64) {
	return int(frame >> frameBits), frame & (1<<frameBits - 1)
}
