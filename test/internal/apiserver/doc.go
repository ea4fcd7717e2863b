// Package apiserver gives tests a real API server: kube-apiserver and etcd, without nodes and controllers.
//
// CARETAKER_APISERVER_KUBECONFIG names one that runs already; otherwise the development cluster's programs are started
// in a folder of their own and stopped at the end. Where neither is possible, tests that need it are skipped and say
// why, or fail with CARETAKER_REQUIRE_API=1.
package apiserver
