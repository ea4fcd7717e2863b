package v1

// Condition types of a WebApp. Ready, Reconciling and Stalled follow the kstatus conventions.
const (
	// ConditionReady is True when all wanted replicas of the current version serve.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while something is under way.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when nothing will happen until the user acts.
	ConditionStalled = "Stalled"
	// ConditionRouted says whether the gateway or ingress controller takes requests for the WebApp; present where
	// spec.route or spec.ingress asks for it.
	ConditionRouted = "Routed"
	// ConditionDatabase says whether the database's credentials are there; present where spec.database names one.
	ConditionDatabase = "DatabaseReady"
	// ConditionConfigured says whether the configuration is there; present where spec.configRef names one.
	ConditionConfigured = "Configured"
)

// Reasons of the conditions, one word for each cause.
const (
	ReasonReady               = "Ready"
	ReasonDeploying           = "Deploying"
	ReasonDeleting            = "Deleting"
	ReasonWaitingForDatabase  = "WaitingForDatabase"
	ReasonWaitingForConfig    = "WaitingForConfig"
	ReasonImagePullFailed     = "ImagePullFailed"
	ReasonCrashLoop           = "CrashLoop"
	ReasonUnschedulable       = "Unschedulable"
	ReasonContainerRefused    = "ContainerRefused"
	ReasonNotReady            = "NotReady"
	ReasonPodsRefused         = "PodsRefused"
	ReasonObjectConflict      = "ObjectConflict"
	ReasonImmutable           = "Immutable"
	ReasonError               = "Error"
	ReasonRouted              = "Routed"
	ReasonNotAcceptedYet      = "NotAcceptedYet"
	ReasonRefused             = "Refused"
	ReasonGatewayAPINotFound  = "GatewayAPINotInstalled"
	ReasonAvailable           = "Available"
	ReasonDatabaseUnavailable = "Unavailable"
)
