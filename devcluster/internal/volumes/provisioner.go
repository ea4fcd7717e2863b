package volumes

import "context"

func Run(ctx context.Context, kubeconfig string, node func(ctx context.Context, node string) Runner) error {
	<-ctx.Done()
	return nil
}
