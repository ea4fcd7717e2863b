// Package ecommerce looks after EcommercePlatforms: each is one AppStack, as its environment asks for.
package ecommerce
