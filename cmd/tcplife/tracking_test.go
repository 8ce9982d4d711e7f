package main

import "testing"

func TestSize(t *testing.T) {
	for _, c := range []struct {
		text, want string
	}{
		{"1M", "1M"},
		{"512M", "512M"},
		{"4G", "4G"},
		{"4096m", "4G"},
		{"1536M", "1536M"},
		{"2GiB", "2G"},
		{"1048576", "1M"},
		{"1048577", "1048577"},
		{"2048k", "2M"},
		{"", ""},
		{"G", ""},
		{"-1G", ""},
		{"1T", ""},
		{"1.5G", ""},
		{"1023K", ""},
		{"0", ""},
		{"999999999999G", ""},
	} {
		var s size
		err := s.Set(c.text)
		if got := s.String(); err == nil && got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q gives %v, %v, want %q", c.text, got, err, c.want)
		}
	}
}
