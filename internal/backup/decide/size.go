package decide

import "k8s.io/apimachinery/pkg/api/resource"

func quantity(bytes int64) *resource.Quantity { return resource.NewQuantity(bytes, resource.BinarySI) }
