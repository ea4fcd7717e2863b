// Package decide says what AppStack an EcommercePlatform means, and what to tell of it. It is pure.
//
// What the user sets wins over the environment's preset. A volume that is there is never asked to shrink: not by a preset,
// and not by the user, who is told so.
package decide
