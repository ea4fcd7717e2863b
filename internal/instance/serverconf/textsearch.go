package serverconf

import (
	"strings"

	"github.com/caretaker-dev/caretaker/internal/instanceapi"
)

// textSearch is the parameter default_text_search_config as initdb would have set it in the postgresql.conf that ours
// replaces: by the language of the locale, English for C. Empty where initdb would leave the default.
func textSearch(bootstrap instanceapi.Bootstrap) string {
	if bootstrap.InitDB == nil {
		return ""
	}

	locale := bootstrap.InitDB.LocaleCType
	if locale == "" {
		locale = bootstrap.InitDB.Locale
	}

	language, _, _ := strings.Cut(locale, ".")
	language, _, _ = strings.Cut(language, "_")

	if name, ok := languages()[strings.ToLower(language)]; ok {
		return "pg_catalog." + name
	}

	return ""
}

// languages are those that every supported version has a configuration for.
func languages() map[string]string {
	return map[string]string{
		"": "english", "c": "english", "posix": "english",
		"ar": "arabic", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "eu": "basque",
		"fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian",
		"id": "indonesian", "it": "italian", "lt": "lithuanian", "nb": "norwegian", "ne": "nepali", "nl": "dutch",
		"nn": "norwegian", "no": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
		"sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
	}
}
