package archiveapi

import "strconv"

// Size is a number of bytes in three or four characters, such as 1.2Gi.
func Size(bytes int64) string {
	value, units := float64(bytes), []string{"", "Ki", "Mi", "Gi", "Ti", "Pi"}
	for value >= 1024 && len(units) > 1 {
		value, units = value/1024, units[1:]
	}

	if value < 10 && units[0] != "" {
		return strconv.FormatFloat(value, 'f', 1, 64) + units[0]
	}

	return strconv.FormatFloat(value, 'f', 0, 64) + units[0]
}
