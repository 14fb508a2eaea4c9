//go:build !slow

package trust

// flippedStride: of the bits of every file each 701st.
const flippedStride = 701
