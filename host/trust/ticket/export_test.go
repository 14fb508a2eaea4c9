package ticket

// Bounds for tests outside of the package.
const (
	MaxBrought = maxBrought
	MaxKept    = maxKept
)
