package ticket

// MaxBrought is the bound for tests outside of the package.
const MaxBrought = maxBrought
